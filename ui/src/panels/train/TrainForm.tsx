/** The form of a new training: what to train, on which pictures, for how long. */
import { useEffect, useState } from "react";
import { changeInput } from "../../document/edit/graphInputs";
import { heldValue, setValue } from "../../document/edit/values";
import { readGraph } from "../../document/file/read";
import type { Graph, InputEnd } from "../../document/graph";
import type { Json } from "../../document/json/json";
import { named, type Widget } from "../../schema/nodeTypes";
import { openSaved, savedText } from "../../server/documents/documents";
import { type Problem, problemsOf, sentences } from "../../server/requests/problems";
import { edit } from "../../state/editor";
import { say } from "../../state/status";
import { useTypes } from "../../state/types";
import { Field } from "../../widgets/Field";
import { attempt } from "../attempt";
import { words } from "../format";
import { widgetFor } from "../tabs/controlWidget";
import { FieldRow } from "../tabs/FieldRow";
import { inForm, modelInput, startTraining, TEMPLATES, type TrainDraft, trainerInputs } from "./newTraining";

interface TrainFormProps {
  /** The settings to begin with; null for those of an example. */
  draft: TrainDraft | null;
  /** Called with the run of the started training. */
  onStart: (run: string) => void;
  /** Called after the graph was put on the canvas. */
  onLeave: () => void;
}

/** Asks for what a training needs; everything else has a default, and can be set under More settings. */
export function TrainForm({ draft, onStart, onLeave }: TrainFormProps) {
  const types = useTypes((state) => state.types);
  const [template, setTemplate] = useState<string>(draft?.template ?? TEMPLATES[0].id);
  const [graph, setGraph] = useState<Graph | null>(draft?.graph ?? null);
  const [problems, setProblems] = useState<readonly Problem[]>(draft?.problems ?? []);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    if (template === draft?.template) return setGraph(draft.graph);
    setGraph(null);
    setProblems([]);
    void attempt(savedText(template)).then((text) => text !== undefined && setGraph(readGraph(text)));
  }, [template, draft]);
  if (graph === null || types.types.length === 0) return <p className="empty-note">Reading the example …</p>;
  const model = modelInput(graph);
  const trainer = trainerInputs(graph, types);
  const placed = problems.map((item) => inForm(graph, item));
  const shown = new Set<string>();
  const problemOf = (node: string | null, input: string) => {
    const found = placed.find((item) => item.node === node && item.input === input);
    if (found) shown.add(`${node} ${input}`);
    return found;
  };
  const start = async () => {
    setBusy(true);
    setProblems([]);
    try {
      onStart(await startTraining(template, graph));
    } catch (error) {
      setProblems(problemsOf(error));
    } finally {
      setBusy(false);
    }
  };
  const open = async () => {
    await openSaved(template);
    edit("Set the training", () => graph);
    onLeave();
    say("The graph of the training is open. Run starts it.");
  };
  const nodeRow = (end: InputEnd, name: string, doc: string, widget: Widget, fallback: Json | undefined) => (
    <FormRow
      key={end.input}
      name={name}
      doc={doc}
      widget={widget}
      value={heldValue(graph, end) ?? fallback}
      problem={problemOf(end.node, end.input)}
      onChange={(value) => setGraph(setValue(graph, end, value))}
    />
  );
  const modelType = model && types.get(graph.nodes.get(model.node)?.type ?? "");
  const modelWidget = modelType && named(modelType.inputs, "model");
  const inputs = [...graph.inputs].map(([name, item]) => (
    <FormRow
      key={name}
      name={words(name)}
      doc={item.doc}
      widget={widgetFor(graph, types, name, item)}
      value={item.default}
      problem={problemOf(null, name)}
      onChange={(value) => setGraph(changeInput(graph, name, (known) => ({ ...known, default: value })))}
    />
  ));
  const more = trainer?.inputs
    .filter((input) => !input.advanced)
    .map((input) =>
      nodeRow(
        { node: trainer.node, input: input.name },
        words(input.name),
        input.doc,
        input.widget,
        input.default,
      ),
    );
  const others = placed.filter((item) => !shown.has(`${item.node} ${item.input}`));
  return (
    <form
      className="train-form"
      aria-label="New training"
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
    >
      <h2>New training</h2>
      <fieldset className="train-kinds" aria-label="What to train">
        {TEMPLATES.map(({ id, title, text }) => (
          <label key={id} className={id === template ? "on" : ""}>
            <input type="radio" name="kind" checked={id === template} onChange={() => setTemplate(id)} />
            <b>{title}</b>
            <span className="meta">{text}</span>
          </label>
        ))}
      </fieldset>
      {model && modelWidget && nodeRow(model, "base model", "", modelWidget.widget, modelWidget.default)}
      {inputs}
      {more && more.length > 0 && (
        <details>
          <summary>More settings</summary>
          {more}
        </details>
      )}
      {others.map((item) => (
        <p key={item.code + item.message} className="field-problem" role="alert">
          {item.node && `${item.node}: `}
          {sentences(item)}
        </p>
      ))}
      <div className="buttons">
        <button type="submit" className="button solid" disabled={isBusy}>
          Start the training
        </button>
        <button type="button" className="button" onClick={() => void attempt(open())}>
          Open its graph
        </button>
      </div>
    </form>
  );
}

interface FormRowProps {
  name: string;
  doc: string;
  widget: Widget;
  value: Json | undefined;
  problem: Problem | undefined;
  onChange: (value: Json) => void;
}

function FormRow({ name, doc, widget, value, problem, onChange }: FormRowProps) {
  return (
    <FieldRow title={name} doc={doc} isTall={widget.kind === "text" && widget.multiline}>
      <Field widget={widget} value={value} label={name} invalid={problem !== undefined} onChange={onChange} />
      {problem && (
        <span className="field-problem" role="alert">
          {sentences(problem)}
        </span>
      )}
    </FieldRow>
  );
}
