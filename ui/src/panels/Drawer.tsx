import type { ReactNode } from "react";
import { Icon, IconButton } from "../style/Icon";

interface DrawerProps {
  title: string;
  /** Shown beside the title, such as the number of pictures. */
  meta?: string;
  onClose: () => void;
  children: ReactNode;
}

/** A panel between the rail and the canvas. Esc closes it. */
export function Drawer({ title, meta, onClose, children }: DrawerProps) {
  return (
    <section
      className="drawer"
      aria-label={title}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.defaultPrevented) return;
        event.stopPropagation();
        onClose();
      }}
    >
      <header className="panel-head">
        <h2 className="grow">{title}</h2>
        {meta !== undefined && <span className="meta">{meta}</span>}
        <IconButton icon="close" label={`Close ${title}`} onClick={onClose} />
      </header>
      {children}
    </section>
  );
}

interface SearchFieldProps {
  label: string;
  placeholder: string;
  value: string;
  onChange: (value: string) => void;
}

/** A search field; Esc empties it first. */
export function SearchField({ label, placeholder, value, onChange }: SearchFieldProps) {
  return (
    <label className="search-field">
      <Icon name="search" size={14} />
      <input
        type="search"
        aria-label={label}
        placeholder={placeholder}
        value={value}
        // biome-ignore lint/a11y/noAutofocus: a drawer that a person has opened begins with its search
        autoFocus
        spellCheck={false}
        onChange={(event) => onChange(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape" || value === "") return;
          event.preventDefault();
          event.stopPropagation();
          onChange("");
        }}
      />
    </label>
  );
}

interface FilterProps {
  isOn: boolean;
  onPick: () => void;
  children: ReactNode;
}

/** A kind of rows to show, in a fieldset of the class `filters`. */
export function Filter({ isOn, onPick, children }: FilterProps) {
  return (
    <button type="button" className="filter" aria-pressed={isOn} onClick={onPick}>
      {children}
    </button>
  );
}
