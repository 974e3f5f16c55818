/** What made the picture in the large view: its values, what differs from the other one, and actions. */
import { useEffect, useMemo, useState } from "react";
import { quoted } from "../../commands/commandLine";
import { changeInput } from "../../document/edit/graphInputs";
import { asFloat, fromPlain } from "../../document/json/json";
import { openText } from "../../server/documents/documents";
import { graphOfOutput, keepAsInput, mark, type OutputRow } from "../../server/outputs";
import { answer, api } from "../../server/requests/client";
import type { RunAnswer } from "../../server/runs/runState";
import { edit } from "../../state/editor";
import { say } from "../../state/status";
import { Icon, IconButton } from "../../style/Icon";
import { attempt } from "../attempt";
import { bytes, moment, span, valueText, words } from "../format";
import { Values } from "../Values";
import { closeLarge, replaceRow, usePictures } from "./pictures";
import "./large.css";

/** The values of the inputs of the graph that made an output. */
export function valuesOf(
  run: Pick<RunAnswer, "graph" | "inputs">,
  row: Pick<OutputRow, "values">,
): Record<string, unknown> {
  const defaults = Object.entries(run.graph.inputs ?? {}).map(([name, input]) => [name, input.default]);
  return { ...Object.fromEntries(defaults), ...run.inputs, ...row.values };
}

/** The inputs and node values that differ between two outputs. */
export function differences(
  a: { run: RunAnswer; row: OutputRow },
  b: { run: RunAnswer; row: OutputRow },
): { name: string; a: unknown; b: unknown }[] {
  const found: { name: string; a: unknown; b: unknown }[] = [];
  const compare = (left: Record<string, unknown>, right: Record<string, unknown>) => {
    for (const name of new Set([...Object.keys(left), ...Object.keys(right)])) {
      if (JSON.stringify(left[name]) !== JSON.stringify(right[name])) {
        found.push({ name, a: left[name], b: right[name] });
      }
    }
  };
  compare(valuesOf(a.run, a.row), valuesOf(b.run, b.row));
  compare(literals(a.run), literals(b.run));
  return found;
}

function literals(run: RunAnswer): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [id, node] of Object.entries(run.graph.nodes ?? {})) {
    for (const [name, value] of Object.entries(node.inputs ?? {})) values[`${id} ${name}`] = value;
    if (node.off) values[`${id} off`] = true;
  }
  return values;
}

/** The command that makes the picture again. */
export function command(run: RunAnswer, row: OutputRow): string {
  const name = run.summary.document?.split("#", 1)[0] || "graph.json";
  const options = Object.entries(valuesOf(run, row))
    .filter(([, value]) => value !== undefined && value !== null)
    .map(
      ([key, value]) =>
        `--${key.replaceAll("_", "-")} ${quoted(typeof value === "string" ? value : JSON.stringify(value))}`,
    );
  return ["safelight run", quoted(name), ...options].join(" ");
}

function useRun(id: string | undefined): RunAnswer | null {
  const [run, setRun] = useState<RunAnswer | null>(null);
  useEffect(() => {
    if (id === undefined) return setRun(null);
    let isCurrent = true;
    void answer(api.GET("/api/v1/runs/{id}", { params: { path: { id } } })).then(
      (found) => isCurrent && setRun(found),
      () => isCurrent && setRun(null),
    );
    return () => {
      isCurrent = false;
    };
  }, [id]);
  return run?.summary.id === id ? run : null;
}

interface PictureDetailsProps {
  /** Put the picture, as `sha256:` and its digest, into the graph; undefined if the page offers no way. */
  onUseAsInput?: ((row: OutputRow) => void) | undefined;
}

export function PictureDetails({ onUseAsInput }: PictureDetailsProps) {
  const { a, b } = usePictures();
  const [runA, runB] = [useRun(a?.run), useRun(b?.run)];
  const changes = useMemo(
    () => (a && b && runA && runB ? differences({ run: runA, row: a }, { run: runB, row: b }) : []),
    [a, b, runA, runB],
  );
  if (b === null) return null;
  const values = runB === null ? [] : Object.entries(valuesOf(runB, b));
  const { started, finished } = runB?.summary ?? {};
  const prompt = values.find(([name]) => name === "prompt")?.[1];
  const star = async () => {
    const row = await mark(b.id, { star: !b.star });
    replaceRow(row);
  };
  const open = async () => {
    const origin = runB?.summary.document?.split("#", 1)[0] || null;
    await openText(await graphOfOutput(b.id), origin);
    say("Opened the graph of this picture as a new document.");
  };

  return (
    <section className="details" aria-label="Picture">
      <header className="panel-head">
        {a !== null && <span className="letter">B</span>}
        <span className="grow" />
        <IconButton
          icon={b.star ? "starred" : "star"}
          label={b.star ? "Remove the star" : "Star"}
          aria-pressed={b.star}
          onClick={() => void attempt(star())}
        />
      </header>
      <div className="pad">
        <p className="picture-title">{typeof prompt === "string" && prompt !== "" ? prompt : b.title}</p>
        <div className="buttons">
          <button type="button" className="button solid" onClick={() => void attempt(open())}>
            Open this graph
          </button>
          {Object.keys(b.values).length > 0 && (
            <button type="button" className="button" onClick={() => applyValues(b)}>
              Use these values
            </button>
          )}
          {onUseAsInput && (
            <button
              type="button"
              className="button"
              onClick={() => void attempt(keepAsInput(b).then(() => onUseAsInput(b)))}
            >
              Use as input
            </button>
          )}
        </div>
        <Tags row={b} />
      </div>
      {a !== null && runA && runB && (
        <div className="pad ruled">
          <h3>What differs from A</h3>
          {changes.length === 0 && (
            <p className="meta">Nothing: both have the same graph and the same values.</p>
          )}
          {changes.slice(0, 12).map((change) => (
            <div key={change.name} className="diff">
              <span>{words(change.name)}</span>
              <span>{valueText(change.a)}</span>
              <Icon name="jump" size={12} />
              <b>{valueText(change.b)}</b>
            </div>
          ))}
          {changes.length > 12 && <p className="meta">and {changes.length - 12} more</p>}
        </div>
      )}
      {runB !== null && (
        <div className="pad ruled">
          <Values
            rows={[
              ...values
                .filter(([name]) => name !== "prompt")
                .map(([name, value]) => [words(name), valueText(value)] as const),
              [
                "made",
                `${moment(b.made)}${started && finished ? `, in ${span((finished - started) * 1000)}` : ""}`,
              ],
              ["file size", bytes(b.size)],
            ]}
          />
        </div>
      )}
      {runB !== null && <Command text={command(runB, b)} />}
    </section>
  );
}

/** Set the controls of the open graph to the swept values of an output. */
function applyValues(row: OutputRow): void {
  edit("Use the values of a picture", (graph) =>
    Object.entries(row.values).reduce(
      (changed, [name, value]) =>
        changeInput(changed, name, (item) => ({ ...item, default: typedValue(item.type, value), sweep: 0 })),
      graph,
    ),
  );
  closeLarge();
}

function typedValue(type: string, value: unknown) {
  return type === "float" && typeof value === "number" ? asFloat(value) : fromPlain(value);
}

function Command({ text }: { text: string }) {
  return (
    <div className="pad ruled">
      <h3>In a terminal</h3>
      <div className="command">
        <code>{text}</code>
        <IconButton
          icon="copy"
          className="icon-button small"
          label="Copy the command"
          onClick={() => void navigator.clipboard.writeText(text).then(() => say("Copied."))}
          size={14}
        />
      </div>
    </div>
  );
}

function Tags({ row }: { row: OutputRow }) {
  const [text, setText] = useState("");
  const change = (tags: string[]) => attempt(mark(row.id, { tags }).then(replaceRow));
  return (
    <form
      className="tags"
      onSubmit={(event) => {
        event.preventDefault();
        const tag = text.trim();
        setText("");
        if (tag !== "" && !row.tags.includes(tag)) void change([...row.tags, tag]);
      }}
    >
      {row.tags.map((tag) => (
        <button
          key={tag}
          type="button"
          className="tag"
          aria-label={`Remove the tag ${tag}`}
          onClick={() => void change(row.tags.filter((known) => known !== tag))}
        >
          {tag} <Icon name="close" size={10} />
        </button>
      ))}
      <input
        className="tag-field"
        aria-label="Add a tag"
        placeholder="Add a tag"
        maxLength={60}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
    </form>
  );
}
