/** Keys of commands: how they are written, shown and recognised. Ctrl means Command on a Mac. */

const IS_MAC = typeof navigator !== "undefined" && /Mac|iPhone|iPad/.test(navigator.platform);

interface Stroke {
  readonly ctrl: boolean;
  readonly shift: boolean;
  readonly alt: boolean;
  readonly key: string;
}

/** Reads a key such as `Ctrl+Shift+Enter`. A character such as `?` says nothing of Shift. */
function read(keys: string): Stroke {
  const parts = keys.split("+");
  const key = parts.pop() || "+";
  return { ctrl: parts.includes("Ctrl"), shift: parts.includes("Shift"), alt: parts.includes("Alt"), key };
}

/** True if the event is the key. */
export function isKey(event: KeyboardEvent, keys: string): boolean {
  const wanted = read(keys);
  const ctrl = IS_MAC ? event.metaKey : event.ctrlKey;
  const other = IS_MAC ? event.ctrlKey : event.metaKey;
  if (other || ctrl !== wanted.ctrl || event.altKey !== wanted.alt) return false;
  const isCharacter = wanted.key.length === 1 && !/[a-z0-9]/i.test(wanted.key);
  if (!isCharacter && event.shiftKey !== wanted.shift) return false;
  const pressed = event.key === " " ? "Space" : event.key;
  return pressed.toLowerCase() === wanted.key.toLowerCase();
}

/** The keys as a person reads them: `Ctrl ↵`. */
export function shownKeys(keys: string): string {
  const names: Record<string, string> = {
    Ctrl: IS_MAC ? "⌘" : "Ctrl",
    Enter: "↵",
    Delete: "Del",
    Alt: IS_MAC ? "⌥" : "Alt",
    ArrowUp: "↑",
    ArrowDown: "↓",
  };
  const { ctrl, shift, alt, key } = read(keys);
  const parts = [ctrl && "Ctrl", alt && "Alt", shift && "Shift", key].filter((part) => part !== false);
  return parts.map((part) => names[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join(" ");
}

/** True if typing goes to a field, so that letters are no commands. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable) return true;
  if (target instanceof HTMLInputElement)
    return !["checkbox", "radio", "button", "range"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
