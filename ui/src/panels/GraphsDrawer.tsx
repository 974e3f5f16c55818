/** The graphs: unsaved drafts of closed tabs, saved graphs with their versions, and examples. */

import { useCallback, useEffect, useState } from "react";
import { matcher } from "../lists/listKeys";
import {
  deleteGraph,
  discardDraft,
  listDrafts,
  listGraphs,
  openDraft,
  openSaved,
  openVersion,
  useDocument,
  versions,
} from "../server/documents/documents";
import type { Schemas } from "../server/requests/client";
import { onEvent } from "../server/runs/runStore";
import { say } from "../state/status";
import { IconButton } from "../style/Icon";
import { attempt } from "./attempt";
import { Drawer, SearchField } from "./Drawer";
import { ago, count, moment } from "./format";

type GraphRow = Schemas["GraphRow"];

export function GraphsDrawer({ onClose }: { onClose: () => void }) {
  const [graphs, setGraphs] = useState<readonly GraphRow[] | null>(null);
  const [words, setWords] = useState("");
  const closed = useDocument((state) => state.closed);
  const read = useCallback(async () => {
    const found = await attempt(listGraphs());
    if (found) setGraphs(found);
  }, []);
  useEffect(() => {
    void read();
    void attempt(listDrafts());
    return onEvent((event) => {
      if (event.type === "graph.changed") void read();
    });
  }, [read]);
  const matches = matcher(words);
  const shown = (graphs ?? []).filter(({ id, title, doc }) => matches(`${id} ${title} ${doc}`));
  const own = shown.filter((graph) => !graph.example).sort((a, b) => b.saved - a.saved);
  const examples = shown.filter((graph) => graph.example);

  return (
    <Drawer title="Graphs" onClose={onClose}>
      <div className="drawer-tools">
        <SearchField label="Search graphs" placeholder="Title or words" value={words} onChange={setWords} />
      </div>
      <div className="drawer-body">
        {closed.length > 0 && words === "" && (
          <section aria-label="Unsaved changes">
            <h3 className="list-head">Unsaved changes</h3>
            {closed.map((draft) => (
              <div key={draft.tab} className="list-row two">
                <span className="grow">
                  <span className="row-title cut">{draft.title}</span>
                  <span className="meta">{ago(draft.saved)}</span>
                </span>
                <button
                  type="button"
                  className="button mini"
                  onClick={() => void attempt(openDraft(draft.tab))}
                >
                  Open
                </button>
                <button
                  type="button"
                  className="button mini quiet"
                  onClick={() => void attempt(discardDraft(draft.tab))}
                >
                  Discard
                </button>
              </div>
            ))}
          </section>
        )}
        {own.length > 0 && (
          <section aria-label="Saved">
            <h3 className="list-head">Saved</h3>
            {own.map((graph) => (
              <Saved key={graph.id} graph={graph} onChange={read} />
            ))}
          </section>
        )}
        {examples.length > 0 && (
          <section aria-label="Examples">
            <h3 className="list-head">Examples</h3>
            {examples.map((graph) => (
              <button
                key={graph.id}
                type="button"
                className="list-row open"
                onClick={() => void attempt(openSaved(graph.id))}
              >
                <span className="row-title">{graph.title || graph.id}</span>
                <span className="meta wrap">{graph.doc}</span>
              </button>
            ))}
          </section>
        )}
        {graphs !== null && shown.length === 0 && <p className="empty-note">Nothing fits.</p>}
      </div>
    </Drawer>
  );
}

function Saved({ graph, onChange }: { graph: GraphRow; onChange: () => Promise<void> }) {
  const isOpen = useDocument((state) => state.id === graph.id);
  const [isUnfolded, setUnfolded] = useState(false);
  const title = graph.title || graph.id;
  return (
    <div className={isOpen ? "list-row two on" : "list-row two"}>
      <button
        type="button"
        className="grow open"
        aria-current={isOpen}
        onClick={() => void attempt(openSaved(graph.id))}
      >
        <span className="row-title cut">{title}</span>
        <span className="meta cut">
          {graph.problem
            ? graph.problem.message
            : [title === graph.id ? "" : graph.id, moment(graph.saved)].filter(Boolean).join(" · ")}
        </span>
      </button>
      <IconButton
        icon={isUnfolded ? "down" : "clock"}
        className="icon-button small"
        label={`Versions of ${title}`}
        aria-expanded={isUnfolded}
        onClick={() => setUnfolded(!isUnfolded)}
        size={14}
      />
      {isUnfolded && <Versions id={graph.id} isOpen={isOpen} onChange={onChange} />}
    </div>
  );
}

function Versions({ id, isOpen, onChange }: { id: string; isOpen: boolean; onChange: () => Promise<void> }) {
  const [rows, setRows] = useState<readonly Schemas["GraphVersion"][]>([]);
  useEffect(() => {
    void attempt(versions(id)).then((found) => found && setRows(found));
  }, [id]);
  const restore = async (version: number) => {
    if (!isOpen) await openSaved(id);
    await openVersion(id, version);
    say(`Version ${version} is open. Save to make it the newest one.`);
  };
  const remove = async () => {
    await deleteGraph(id);
    say(`${id} was moved to the deleted graphs; its versions stay.`);
    await onChange();
  };
  return (
    <div className="versions">
      {rows.map((row, place) => (
        <button
          key={row.version}
          type="button"
          className="version"
          onClick={() => void attempt(restore(row.version))}
          aria-label={`Open version ${row.version} of ${moment(row.saved)}`}
        >
          <span>{place === 0 ? "newest" : `version ${row.version}`}</span>
          <span className="meta grow">{count(row.nodes, "node")}</span>
          <span className="meta">{moment(row.saved)}</span>
        </button>
      ))}
      <button type="button" className="version" onClick={() => void attempt(remove())}>
        Delete this graph
      </button>
    </div>
  );
}
