import type { ButtonHTMLAttributes } from "react";
import sprite from "./icons.svg?raw";

export type IconName =
  | "lamp"
  | "add"
  | "graphs"
  | "outputs"
  | "models"
  | "train"
  | "undo"
  | "redo"
  | "run"
  | "stop"
  | "down"
  | "right"
  | "clock"
  | "ring"
  | "tick"
  | "bolt"
  | "warn"
  | "fail"
  | "halt"
  | "off"
  | "lost"
  | "search"
  | "close"
  | "pin"
  | "compare"
  | "expand"
  | "fit"
  | "minus"
  | "mouse"
  | "trackpad"
  | "map"
  | "chip"
  | "dice"
  | "lock"
  | "more"
  | "grip"
  | "param"
  | "star"
  | "starred"
  | "file"
  | "copy"
  | "sample"
  | "flag"
  | "pause"
  | "panel"
  | "jump"
  | "reset"
  | "info"
  | "brush";

/** One icon in the colour of the text around it. Without a label it is hidden from screen readers. */
export function Icon({ name, size = 16, label }: { name: IconName; size?: number; label?: string }) {
  return (
    <svg
      className={`icon icon-${name}`}
      width={size}
      height={size}
      {...(label ? { role: "img", "aria-label": label } : { "aria-hidden": true })}
    >
      <use href={`#i-${name}`} />
    </svg>
  );
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon: IconName;
  /** What it does, for screen readers, and on hover. */
  label: string;
  size?: number;
}

/** A button that is only an icon. */
export function IconButton({ icon, label, size = 16, ...rest }: IconButtonProps) {
  return (
    <button type="button" className="icon-button" aria-label={label} title={label} {...rest}>
      <Icon name={icon} size={size} />
    </button>
  );
}

/** The symbols that `Icon` refers to; rendered once in the page. */
export function IconSymbols() {
  // The markup is a file of this program, never text of a user.
  // biome-ignore lint/security/noDangerouslySetInnerHtml: see above
  return <div hidden dangerouslySetInnerHTML={{ __html: sprite }} />;
}
