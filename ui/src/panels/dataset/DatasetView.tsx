/** The pictures of a dataset over the canvas. Captions are edited in place; each is one edit of the graph. */
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { placeNear } from "../../canvas/add/addNode";
import { from } from "../../document/graph";
import { sentence, sentences } from "../../server/requests/problems";
import { cancel } from "../../server/runs/runs";
import { edit, graph, useGraph } from "../../state/editor";
import { say } from "../../state/status";
import { types, useTyped } from "../../state/types";
import { Icon, IconButton } from "../../style/Icon";
import { attempt } from "../attempt";
import { Filter, SearchField } from "../Drawer";
import { count, words } from "../format";
import {
  captionNode,
  captionsIn,
  datasetOf,
  datasetOutputs,
  kindsOf,
  type Listed,
  type Row,
  shown,
  triggerBehind,
  withCaption,
} from "./captions";
import { type DatasetPlace, openDataset, useDataset } from "./datasetStore";
import { Pictures } from "./Pictures";
import { useListing } from "./useListing";
import "./dataset.css";
import "../pictures/large.css";

const NO_ROWS: readonly Row[] = [];

export function DatasetView() {
  const open = useDataset((state) => state.open);
  return open && <Dataset key={`${open.node} ${open.output} ${open.run?.summary.id}`} place={open} />;
}

function Dataset({ place: { node, output, run } }: { place: DatasetPlace }) {
  const graphTypes = useTyped();
  const source = run ? from(node, output ?? "out") : datasetOf(graphTypes, node, output);
  const { found, problems, computing, read, compute } = useListing(source, run);
  const own = run ? undefined : source;
  const held = useGraph((state) => {
    const holder = own && captionNode(state, own);
    return holder === undefined ? undefined : state.nodes.get(holder);
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the captions change with the node that holds them
  const captions = useMemo(() => captionsIn(graph(), own && captionNode(graph(), own)), [held]);
  const word = useGraph((state) => own && triggerBehind(state, own));
  const rows = found?.pictures ?? NO_ROWS;
  const listed: Listed = { rows, captions, word };
  const [{ kind, search }, setChosen] = useState({ kind: "All", search: "" });
  // Pictures stay in the list while their captions change, until a kind is chosen again.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  const places = useMemo(() => shown(listed, kind, search), [rows, word, kind, search]);
  const root = useRef<HTMLElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    root.current?.focus();
    return () => (before instanceof HTMLElement ? before.focus() : undefined);
  }, []);

  const change = (row: Row, caption: string) => {
    const setCaptions = types().get("SetCaptions")?.id;
    if (own === undefined || setCaptions === undefined) return;
    const kept = caption === row.caption ? undefined : caption;
    const next = withCaption(graph(), { setCaptions, at: placeNear(own.node) }, own, row.name, kept);
    edit(`Caption ${row.name}`, () => next.graph);
    say(next.isNew ? `${next.id} holds the new captions; the files stay as they are.` : "");
  };
  const press = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    openDataset(null);
    event.preventDefault();
    event.stopPropagation();
  };
  const names = own ? datasetOutputs(graphTypes, own.node) : [];
  const known = new Set(rows.map((row) => row.name));
  const notes = [
    ...(found?.left_out ?? []).map((file) => `${file.name} is left out: ${file.reason}`),
    ...[...captions.keys()]
      .filter((name) => found && !known.has(name))
      .map((name) => `${name} is not there; its caption is kept`),
  ];
  const isMissing = problems[0]?.code === "not_computed";
  return (
    <section ref={root} className="large dataset" aria-label="Dataset" tabIndex={-1} onKeyDown={press}>
      <header className="large-head">
        <h2>{`Dataset of ${run ? run.summary.title : words(source?.node ?? node)}`}</h2>
        <span className="meta">
          {found && count(rows.length, "picture")}
          {found && run && ", as the training reads them"}
        </span>
        <span className="grow" />
        <SearchField
          label="Search pictures"
          placeholder="Name, caption"
          value={search}
          onChange={(text) => setChosen({ kind, search: text })}
        />
        <IconButton icon="reset" label="Read again" onClick={read} />
        <IconButton icon="close" label="Close" onClick={() => openDataset(null)} />
      </header>
      <div className="dataset-tools">
        {names.length > 1 && (
          <fieldset className="filters" aria-label="Output">
            {names.map((name) => (
              <Filter
                key={name}
                isOn={name === own?.output}
                onPick={() => openDataset({ node: own?.node ?? node, output: name })}
              >
                {words(name)}
              </Filter>
            ))}
          </fieldset>
        )}
        {rows.length > 0 && (
          <fieldset className="filters" aria-label="Which pictures">
            {[...kindsOf(listed)].map(([label, isOfKind]) => {
              const number = rows.filter(isOfKind).length;
              return number === 0 && label !== kind ? null : (
                <Filter key={label} isOn={label === kind} onPick={() => setChosen({ kind: label, search })}>
                  {label} <b>{number}</b>
                </Filter>
              );
            })}
          </fieldset>
        )}
        {notes.length > 0 && (
          <details>
            <summary className="filter">{count(notes.length, "note")}</summary>
            {notes.map((note) => (
              <p key={note}>{note}</p>
            ))}
          </details>
        )}
      </div>
      {!found && (
        <div className="pad" role="status">
          {computing?.phase === "queued" && <p>The run waits for others …</p>}
          {computing?.phase === "running" && <p>The graph runs up to this node …</p>}
          {!computing && problems.length === 0 && <p>Reading the pictures …</p>}
          {(computing ? [] : problems).map((problem) => (
            <p key={problem.code + problem.message} className={isMissing ? "" : "field-problem"}>
              {isMissing ? "" : `${words(problem.node ?? node)}: `}
              {isMissing ? sentence(problem.message) : sentences(problem)}
            </p>
          ))}
          {computing && (
            <button type="button" className="button" onClick={() => void attempt(cancel(computing.id))}>
              Cancel
            </button>
          )}
          {isMissing && !computing && !run && (
            <button type="button" className="button solid" onClick={() => void compute()}>
              <Icon name="run" size={14} /> Run to this node
            </button>
          )}
        </div>
      )}
      {found && places.length === 0 && (
        <p className="empty-note">{rows.length > 0 ? "Nothing fits." : "No pictures."}</p>
      )}
      {found && places.length > 0 && (
        <Pictures id={found.id} listed={listed} places={places} onCaption={run ? undefined : change} />
      )}
    </section>
  );
}
