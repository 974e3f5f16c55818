/** The model files, grouped by the model family that they are for. */
import { useEffect, useMemo, useState } from "react";
import { matcher } from "../lists/listKeys";
import { type ModelRow, readModels, useCatalogue } from "../server/catalogue";
import { say } from "../state/status";
import { IconButton } from "../style/Icon";
import { attempt } from "./attempt";
import { Drawer, SearchField } from "./Drawer";
import { bytes, count } from "./format";

/** Models that have all words in name, kind, base or triggers, grouped by base and then by kind. */
export function grouped(models: readonly ModelRow[], words: string): [base: string, rows: ModelRow[]][] {
  const matches = matcher(words);
  const groups = new Map<string, ModelRow[]>();
  for (const model of models) {
    if (!matches([model.file, model.kind, model.base, ...model.triggers].join(" "))) continue;
    const base = model.base ?? "Other";
    groups.set(base, [...(groups.get(base) ?? []), model]);
  }
  for (const rows of groups.values()) {
    rows.sort((a, b) => a.kind.localeCompare(b.kind) || a.file.localeCompare(b.file));
  }
  return [...groups].sort(([a], [b]) => Number(a === "Other") - Number(b === "Other") || a.localeCompare(b));
}

export function ModelsDrawer({ onClose }: { onClose: () => void }) {
  const models = useCatalogue((state) => state.models);
  const [words, setWords] = useState("");
  useEffect(() => void attempt(readModels()), []);
  const groups = useMemo(() => grouped(models, words), [models, words]);
  return (
    <Drawer title="Models" meta={count(models.length, "file")} onClose={onClose}>
      <div className="drawer-tools">
        <SearchField
          label="Search models"
          placeholder="Name, kind, trigger"
          value={words}
          onChange={setWords}
        />
      </div>
      <div className="drawer-body">
        {groups.map(([base, rows]) => (
          <section key={base} aria-label={base}>
            <h3 className="list-head">{base}</h3>
            {rows.map((model) => (
              <Model key={`${model.kind} ${model.file}`} model={model} />
            ))}
          </section>
        ))}
        {models.length === 0 && (
          <p className="empty-note">Put files into models/loras, or name a folder in settings.json.</p>
        )}
        {models.length > 0 && groups.length === 0 && <p className="empty-note">Nothing fits.</p>}
      </div>
    </Drawer>
  );
}

function Model({ model }: { model: ModelRow }) {
  const copied = model.tag ?? model.file;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dragging is a shortcut for the button
    <div
      className={model.problem ? "list-row two refused" : "list-row two"}
      draggable={model.problem === null}
      onDragStart={(event) => {
        event.dataTransfer.setData("application/x-safelight-model", JSON.stringify(model));
        event.dataTransfer.setData("text/plain", copied);
        event.dataTransfer.effectAllowed = "copy";
      }}
    >
      {model.thumb && <img className="model-thumb" src={model.thumb} alt="" loading="lazy" />}
      <span className="grow">
        <span className="row-title cut" title={model.file}>
          {model.file}
        </span>
        <span className="meta cut">
          {model.problem
            ? model.problem.message
            : [model.kind, model.bytes === null ? "" : bytes(model.bytes)].filter(Boolean).join(" · ")}
        </span>
        {model.triggers.length > 0 && (
          <span className="triggers">
            {model.triggers.slice(0, 6).map((trigger) => (
              <span key={trigger} className="trigger">
                {trigger}
              </span>
            ))}
          </span>
        )}
      </span>
      {model.problem === null && (
        <IconButton
          icon="copy"
          className="icon-button small"
          label={`Copy ${copied}`}
          onClick={() =>
            void attempt(navigator.clipboard.writeText(copied).then(() => say(`Copied ${copied}.`)))
          }
          size={14}
        />
      )}
    </div>
  );
}
