/** Prepares and starts a sweep: the graph runs for every combination of the values. */
import { useState } from "react";
import { sentence } from "../../server/requests/problems";
import { submit, useSubmission } from "../../server/runs/runs";
import { useDocumentState } from "../../state/editor";
import { say, sayError } from "../../state/status";
import { useTypes } from "../../state/types";
import { IconButton } from "../../style/Icon";
import { count, words } from "../format";
import { openSweep } from "../pictures/pictures";
import { widgetFor } from "../tabs/controlWidget";
import { removeFromSweep, useSweep } from "./sweep";
import { isOneInLine, parseList } from "./sweepValues";

export function SweepBox() {
  const { texts, newest } = useSweep();
  const root = useDocumentState((state) => state.root);
  const types = useTypes((state) => state.types);
  const [isBusy, setBusy] = useState(false);
  const axes = Object.entries(texts).flatMap(([name, text]) => {
    const item = root.inputs.get(name);
    if (item === undefined) return [];
    const widget = widgetFor(root, types, name, item);
    return [{ name, text, widget, ...parseList(text, widget) }];
  });
  if (axes.length === 0) return null;
  const isReady = axes.every((axis) => axis.problem === "");
  const pictures = axes.reduce((product, axis) => product * axis.values.length, 1);
  const run = async () => {
    setBusy(true);
    const accepted = await submit({
      sweep: Object.fromEntries(axes.map(({ name, values }) => [name, values])),
    });
    setBusy(false);
    if (accepted) {
      openSweep(accepted.run);
      say(`${count(pictures, "combination")}: equal parts are computed once.`);
    } else {
      sayError(sentence(useSubmission.getState().problems[0]?.message ?? ""));
    }
  };
  return (
    <section className="pad ruled sweep" aria-label="Sweep">
      <h3>Sweep</h3>
      {axes.map(({ name, text, widget, problem }) => {
        const isList = isOneInLine(widget);
        const Values = isList ? "textarea" : "input";
        return (
          <div key={name} className="sweep-axis">
            <div className="sweep-values">
              <span className="control-name">{words(name)}</span>
              <Values
                className={isList ? "area" : "field"}
                autoFocus={name === newest}
                rows={isList ? 3 : undefined}
                aria-label={`Values of ${words(name)}${isList ? ", one in a line" : ""}`}
                placeholder={isList ? "" : "4, 8, 12 or 1:9:2"}
                value={text}
                spellCheck={false}
                onChange={(event) =>
                  useSweep.setState({ texts: { ...texts, [name]: event.currentTarget.value } })
                }
                onKeyDown={(event) => event.key === "Enter" && !isList && isReady && !isBusy && void run()}
              />
            </div>
            <IconButton
              icon="close"
              className="icon-button small"
              label={`Do not sweep ${words(name)}`}
              onClick={() => removeFromSweep(name)}
              size={12}
            />
            {problem !== "" && text.trim() !== "" && (
              <span className="field-problem">{sentence(problem)}</span>
            )}
          </div>
        );
      })}
      <button type="button" className="button solid" disabled={!isReady || isBusy} onClick={() => void run()}>
        {isReady ? `Run ${count(pictures, "combination")}` : "Run the sweep"}
      </button>
    </section>
  );
}
