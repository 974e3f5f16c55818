import { openFile } from "../canvas/add/dropFiles";
import { attempt } from "../panels/attempt";
import { closeOverlay, openOverlay } from "../popups/overlays";
import { openText, reload, save, useDocument } from "../server/documents/documents";
import { openGraph } from "../server/documents/openGraph";
import { useChanges } from "../state/editor";
import { say } from "../state/status";
import { toggleDrawer, useView } from "../state/view";
import { define } from "./commands";
import { saySaved } from "./saved";

/** Save the graph. A graph without a name, and an example, ask for one. */
export async function saveGraph(): Promise<void> {
  const { id, isExample } = useDocument.getState();
  if (id === null || isExample) return openOverlay("saveAs");
  const isSaved = await attempt(save());
  if (isSaved) saySaved(id);
  else if (isSaved === false) openOverlay("conflict");
}

function download(): void {
  const graph = openGraph();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([graph.text()], { type: "application/json" }));
  link.download = `${useDocument.getState().id ?? (graph.title() || "graph")}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function chooseFile(): void {
  const chooser = document.createElement("input");
  chooser.type = "file";
  chooser.accept = ".json,image/*";
  chooser.onchange = () => {
    const file = chooser.files?.[0];
    if (file) void openFile(file);
  };
  chooser.click();
}

const THEMES = ["system", "dark", "light"] as const;

define(
  { id: "save", label: "Save", group: "Graph", keys: ["Ctrl+S"], scope: "page", run: () => void saveGraph() },
  {
    id: "saveAs",
    label: "Save as",
    group: "Graph",
    keys: ["Ctrl+Shift+S"],
    scope: "page",
    run: () => openOverlay("saveAs"),
  },
  {
    id: "open",
    label: "Open",
    group: "Graph",
    keys: ["Ctrl+O"],
    scope: "page",
    run: () => toggleDrawer("graphs"),
  },
  {
    id: "openSaved",
    label: "Open the saved version",
    group: "Graph",
    scope: "page",
    isPossible: () => useDocument.getState().id !== null && useChanges.getState().count > 0,
    run: () => void attempt(reload()),
  },
  { id: "openFile", label: "Open a file or picture", group: "Graph", scope: "page", run: chooseFile },
  {
    id: "new",
    label: "New graph",
    group: "Graph",
    scope: "page",
    run: () => void openText('{"safelight": 1, "nodes": {}}'),
  },
  { id: "download", label: "Download the graph as a file", group: "Graph", scope: "page", run: download },
  {
    id: "palette",
    label: "Commands",
    group: "Page",
    keys: ["Ctrl+K"],
    scope: "page",
    run: () => openOverlay("palette"),
  },
  {
    id: "keys",
    label: "All keys",
    group: "Page",
    keys: ["?"],
    scope: "canvas",
    run: () => openOverlay("keys"),
  },
  {
    id: "theme",
    label: "Theme: next of system, dark, light",
    group: "Page",
    scope: "page",
    run: () => {
      const { theme } = useView.getState();
      const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
      useView.setState({ theme: next });
      say(`Theme: ${next}.`);
    },
  },
  ...[1, 1.25, 1.5, 2].map((scale) => ({
    id: `text ${scale}`,
    label: `Text size: ${scale * 100} %`,
    group: "Page" as const,
    scope: "page" as const,
    run: () => useView.setState({ textScale: scale }),
  })),
  {
    id: "close",
    label: "Close what is open",
    group: "Page",
    scope: "page",
    run: () => {
      closeOverlay();
      useView.setState({ drawer: null });
    },
  },
);
