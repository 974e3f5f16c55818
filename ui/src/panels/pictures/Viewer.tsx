/** The docked viewer: the latest picture of the document, or of a pinned node, with a strip of the last ones. */
import { useMemo } from "react";
import { useShallow } from "zustand/react/shallow";
import { outputsOf } from "../../server/outputs";
import { thumbnail } from "../../server/requests/client";
import { nodeIn } from "../../server/runs/runState";
import { useRuns } from "../../server/runs/runStore";
import { IconButton } from "../../style/Icon";
import { ago, words } from "../format";
import {
  compareWith,
  latestPictures,
  openOutput,
  openPicture,
  pin,
  type Shown,
  shownPicture,
  usePictures,
} from "./pictures";
import { Marks, Picture, useBox } from "./Stage";
import "../panels.css";

const STRIP = 24;

export function Viewer() {
  const { pinned, chosen } = usePictures(useShallow(({ pinned, chosen }) => ({ pinned, chosen })));
  const runs = useRuns(useShallow(({ queue, own, shown }) => ({ queue, own, shown })));
  const shown = useMemo(() => shownPicture(runs, pinned, chosen), [runs, pinned, chosen]);
  const strip = useMemo(() => latestPictures(runs, STRIP), [runs]);
  const [stage, box] = useBox<HTMLDivElement>();
  const node = nodeIn(shown?.run, shown?.node ?? "");
  const output = shown !== null && "id" in shown.picture ? shown.picture : null;
  const fraction = shown?.isLive && node?.max ? (node.value ?? 0) / node.max : null;

  return (
    <section className="viewer" aria-label="Viewer">
      <header className="panel-head">
        <h2 className="cut">{words(shown?.node ?? pinned ?? "Viewer")}</h2>
        <span className="meta cut grow">{shown === null ? "" : caption(shown, runs.shown)}</span>
        {pinned !== null && <IconButton icon="pin" label={`Unpin ${pinned}`} onClick={() => pin(null)} />}
        <IconButton
          icon="compare"
          label="Compare with the previous picture"
          disabled={output === null || strip.length < 2}
          onClick={() => output && void compareWithPrevious(output.id, strip)}
        />
        <IconButton
          icon="expand"
          label="Show large"
          disabled={output === null}
          onClick={() => output && shown && void openOutput(output, shown.run.id)}
        />
      </header>
      <div ref={stage} className={`stage${shown === null ? " empty" : ""}`}>
        {shown === null ? (
          <>
            <Marks />
            <div className="empty-words">
              <div>No picture yet</div>
              <div className="keys">
                <kbd>Ctrl</kbd> <kbd>Enter</kbd> makes a picture
              </div>
            </div>
          </>
        ) : (
          <Picture
            url={shown.picture.url}
            alt={`${words(shown.node ?? "picture")}, ${caption(shown, runs.shown)}`}
            box={box}
          />
        )}
      </div>
      {fraction !== null && (
        <progress className="line" value={fraction} aria-label={`Progress of ${shown?.node}`} />
      )}
      {strip.length > 0 && (
        <ul className="strip" aria-label="Latest pictures">
          {strip.map(({ output: item, run }) => (
            <li key={item.id}>
              <button
                type="button"
                className={item.id === output?.id ? "on" : ""}
                aria-pressed={item.id === output?.id}
                aria-label={`Picture ${item.id} of ${run.title || "this document"}`}
                onClick={() => usePictures.setState({ chosen: item.id })}
                onDoubleClick={() => void openOutput(item, run.id)}
              >
                <img src={thumbnail(item.url, 64)} alt="" loading="lazy" draggable={false} />
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function caption(shown: Shown, latest: string | null): string {
  const node = nodeIn(shown.run, shown.node ?? "");
  if (shown.isLive) return node?.max ? `step ${node.value ?? 0} of ${node.max}, preview` : "preview";
  if (!("id" in shown.picture)) return "preview";
  if (shown.run.id !== latest && shown.run.finished !== null)
    return `last picture, ${ago(shown.run.finished)}`;
  const values = Object.entries(shown.picture.values).map(([name, value]) => `${words(name)} ${value}`);
  return values.join(", ");
}

async function compareWithPrevious(id: number, strip: ReturnType<typeof latestPictures>): Promise<void> {
  const place = strip.findIndex(({ output }) => output.id === id);
  const [current, previous] = [strip[place], strip[place + 1] ?? strip[place - 1]];
  if (current === undefined || previous === undefined) return;
  const rows = (await Promise.all([...new Set([current.run.id, previous.run.id])].map(outputsOf))).flat();
  const [b, a] = [current, previous].map(({ output }) => rows.find((row) => row.id === output.id));
  if (b === undefined || a === undefined) return;
  openPicture(b, rows);
  compareWith(a);
}
