import { Menu } from "@base-ui/react/menu";
import { command } from "./commands";
import { shownKeys } from "./keys";

interface CommandMenuProps {
  readonly ids: readonly string[];
  /** Where it opens; below the button that opens it if none is given. */
  readonly anchor?: { getBoundingClientRect(): DOMRect } | null;
  readonly align?: "start" | "end";
}

/** The rows of a menu: commands with their keys. */
export function CommandMenu({ ids, anchor, align = "end" }: CommandMenuProps) {
  return (
    <Menu.Portal>
      <Menu.Positioner
        className="pop-layer"
        sideOffset={anchor === undefined ? 4 : 0}
        align={align}
        {...(anchor === undefined ? {} : { anchor })}
      >
        <Menu.Popup className="pop menu">
          {ids.map((id) => {
            const item = command(id);
            if (!item) return null;
            return (
              <Menu.Item
                key={id}
                className="pop-row"
                disabled={item.isPossible?.() === false}
                onClick={() => item.run()}
              >
                <span className="grow">{item.label}</span>
                {item.keys?.[0] !== undefined && <kbd>{shownKeys(item.keys[0])}</kbd>}
              </Menu.Item>
            );
          })}
        </Menu.Popup>
      </Menu.Positioner>
    </Menu.Portal>
  );
}
