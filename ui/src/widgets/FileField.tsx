import { type ChangeEvent, type ClipboardEvent, type DragEvent, useRef } from "react";
import { perform } from "../commands/commands";
import type { Choice } from "../lists/choices";
import { attempt } from "../panels/attempt";
import type { Widget } from "../schema/nodeTypes";
import { blobUrl, fileName, uploadInput } from "../server/documents/files";
import { answer, api } from "../server/requests/client";
import { Icon } from "../style/Icon";
import { PickerButton } from "./ChoiceField";
import type { FieldProps } from "./Field";

type FileKind = Extract<Widget, { kind: "file" }>;

/** The kind of model file that the server lists for each folder. */
const KINDS: Record<string, string> = {
  checkpoints: "checkpoint",
  loras: "lora",
  embeddings: "embedding",
  hypernetworks: "hypernetwork",
  vae: "vae",
  unet: "unet",
  text_encoders: "text_encoder",
  controlnet: "controlnet",
  upscale_models: "upscaler",
};

/** The name of a file: a model out of a list, or a picture that is dropped, pasted or chosen. */
export function FileField(props: FieldProps<FileKind>) {
  const { widget, value, label, invalid, describedBy, onChange } = props;
  const name = typeof value === "string" ? value : "";
  const modelKind = KINDS[widget.files];
  if (modelKind === undefined && !widget.folder) return <UploadField {...props} />;
  return (
    <PickerButton
      label={label}
      value={name}
      text={fileName(name)}
      invalid={invalid}
      describedBy={describedBy}
      empty={`Put files into ${modelKind ? "models/" : ""}${widget.files}, or name a folder in settings.json.`}
      isFree
      isWide
      load={() => (modelKind === undefined ? listFolders() : listModels(modelKind))}
      pick={(picked) => onChange(picked === "" && props.optional ? null : picked)}
    />
  );
}

/** The model files of a kind as choices, grouped by the family they are for. */
export async function listModels(kind: string): Promise<Choice[]> {
  const { models } = await answer(api.GET("/api/v1/models", { params: { query: { kind } } }));
  return models
    .map((model) => ({
      value: model.file,
      label: model.file,
      group: model.base ?? "Other",
      refused: model.problem?.message,
    }))
    .sort((a, b) => a.group.localeCompare(b.group) || a.label.localeCompare(b.label));
}

/** The folders that pictures can be in, with the place of each. */
async function listFolders(): Promise<Choice[]> {
  const { folders } = await answer(api.GET("/api/v1/datasets/folders"));
  return folders.map(({ name, place }) => ({ value: name, label: name, detail: place }));
}

function UploadField({ widget, value, label, invalid, describedBy, onChange }: FieldProps<FileKind>) {
  const chooser = useRef<HTMLInputElement>(null);
  const name = typeof value === "string" ? value : "";
  const take = async (file: File | undefined) => {
    const taken = file && (await attempt(uploadInput(file, widget)));
    if (taken) onChange(taken);
  };
  const drop = (event: DragEvent) => {
    if (event.dataTransfer.files.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    void take(event.dataTransfer.files[0]);
  };
  const paste = (event: ClipboardEvent) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    void take(event.clipboardData.files[0]);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it takes dropped files; the button does the same by keyboard
    <span className="upload nodrag nopan" onDrop={drop} onDragOver={(event) => event.preventDefault()}>
      <input
        className={`field${invalid ? " bad" : ""}`}
        aria-label={label}
        aria-invalid={invalid}
        aria-describedby={describedBy}
        autoComplete="off"
        spellCheck={false}
        placeholder={widget.files === "inputs" ? "drop or paste" : widget.files}
        title={name}
        value={fileName(name)}
        onChange={(event) => onChange(event.currentTarget.value)}
        onPaste={paste}
      />
      {blobUrl(name) !== null && (
        <button
          type="button"
          className="paint"
          aria-label={`${label}: paint a mask`}
          title="Paint a mask"
          onClick={() => perform("paintMask")}
        >
          <Icon name="brush" size={12} />
        </button>
      )}
      <button type="button" aria-label={`${label}: choose a file`} onClick={() => chooser.current?.click()}>
        <Icon name="file" size={12} />
      </button>
      <input
        ref={chooser}
        type="file"
        hidden
        aria-label={`${label}: file`}
        onChange={(event: ChangeEvent<HTMLInputElement>) => void take(event.currentTarget.files?.[0])}
      />
    </span>
  );
}
