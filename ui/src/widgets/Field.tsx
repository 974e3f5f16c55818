import type { Json } from "../document/json/json";
import type { Widget } from "../schema/nodeTypes";
import { ChoiceField } from "./ChoiceField";
import { FileField } from "./FileField";
import { JsonField } from "./JsonField";
import { NumberField } from "./NumberField";
import { SeedField } from "./SeedField";
import { StackField } from "./StackField";
import { Switch } from "./Switch";
import { TextField } from "./TextField";

export interface FieldProps<Kind extends Widget = Widget> {
  readonly widget: Kind;
  /** The value that applies: the one set, or the default. */
  readonly value: Json | undefined;
  /** The name for screen readers, such as "denoise steps". */
  readonly label: string;
  readonly invalid: boolean;
  /** The id of the element that says what is wrong. */
  readonly describedBy?: string | undefined;
  /** True if the field may be empty; its value is then null. */
  readonly optional?: boolean | undefined;
  readonly onChange: (value: Json) => void;
  readonly placeholder?: string | undefined;
}

/** The control of one input. */
export function Field({ widget, ...rest }: FieldProps) {
  switch (widget.kind) {
    case "number":
      return <NumberField widget={widget} {...rest} />;
    case "seed":
      return <SeedField widget={widget} {...rest} />;
    case "text":
      return <TextField widget={widget} {...rest} />;
    case "file":
      return <FileField widget={widget} {...rest} />;
    case "choice":
      return <ChoiceField widget={widget} {...rest} />;
    case "switch":
      return <Switch widget={widget} {...rest} />;
    case "stack":
      return <StackField widget={widget} {...rest} />;
    case "json":
      return <JsonField widget={widget} {...rest} />;
    case "none":
      return null;
  }
}
