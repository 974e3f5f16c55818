import { lazy, Suspense } from "react";
import { loadOutput } from "../canvas/add/dropFiles";
import { goTo } from "../commands/canvasCommands";
import { usePictures } from "../panels/pictures/pictures";
import { Viewer } from "../panels/pictures/Viewer";
import { ControlsTab } from "../panels/tabs/ControlsTab";
import { useProblemCount } from "../panels/tabs/problemList";
import { useSelectedNode } from "../state/editor";
import { type PanelTab, useView } from "../state/view";

const NodeTab = lazy(async () => ({ default: (await import("../panels/tabs/NodeTab")).NodeTab }));
const ProblemsTab = lazy(async () => ({ default: (await import("../panels/tabs/ProblemsTab")).ProblemsTab }));
const PictureDetails = lazy(async () => ({
  default: (await import("../panels/pictures/PictureDetails")).PictureDetails,
}));

const TABS: readonly { tab: PanelTab; word: string }[] = [
  { tab: "controls", word: "Controls" },
  { tab: "node", word: "Node" },
  { tab: "problems", word: "Problems" },
];

/** The panel at the right: the viewer, and below it the controls, the selected node, or the problems. */
export function SidePanel() {
  const isOpen = useView((view) => view.isPanelOpen);
  const isLarge = usePictures(
    ({ large, b, run }) => large === "picture" || (large === "sweep" && b !== null && b.run === run),
  );
  if (!isOpen) return null;
  if (isLarge) {
    return (
      <aside className="side scroll" aria-label="Panel">
        <Suspense>
          <PictureDetails onUseAsInput={loadOutput} />
        </Suspense>
      </aside>
    );
  }
  return (
    <aside className="side" aria-label="Panel">
      <Viewer />
      <Tabs />
    </aside>
  );
}

function Tabs() {
  const open = useView((view) => view.tab);
  const { errors } = useProblemCount();
  const node = useSelectedNode();
  return (
    <>
      <div className="tabs" role="tablist" aria-label="Panel">
        {TABS.map(({ tab, word }) => (
          <button
            key={tab}
            type="button"
            role="tab"
            id={`tab-${tab}`}
            aria-selected={open === tab}
            aria-controls="tab-body"
            tabIndex={open === tab ? 0 : -1}
            onClick={() => useView.setState({ tab })}
            onKeyDown={(event) => {
              const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
              if (by === 0) return;
              const next =
                TABS[(TABS.findIndex((item) => item.tab === tab) + by + TABS.length) % TABS.length];
              if (!next) return;
              useView.setState({ tab: next.tab });
              document.getElementById(`tab-${next.tab}`)?.focus();
            }}
          >
            {word}
            {tab === "problems" && errors > 0 && <span className="badge">{errors}</span>}
          </button>
        ))}
      </div>
      <div className="scroll" role="tabpanel" id="tab-body" aria-labelledby={`tab-${open}`}>
        {open === "controls" && <ControlsTab />}
        <Suspense>
          {open === "node" && <NodeTab node={node} />}
          {open === "problems" && <ProblemsTab onShow={(id) => goTo(id)} />}
        </Suspense>
      </div>
    </>
  );
}
