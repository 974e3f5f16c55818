import { Menu } from "@base-ui/react/menu";
import { useMemo } from "react";
import { command } from "../commands/commands";
import { shownKeys } from "../commands/keys";
import { useMenu } from "./menu";

/** The open menu: commands with their keys. */
export function CommandMenu() {
  const { box, ids, align } = useMenu();
  const anchor = useMemo(() => (box === null ? null : { getBoundingClientRect: () => box }), [box]);
  return (
    <Menu.Root
      open={box !== null}
      onOpenChange={(isOpen) => !isOpen && useMenu.setState({ box: null })}
      modal={false}
    >
      <Menu.Portal>
        <Menu.Positioner
          className="pop-layer"
          anchor={anchor}
          sideOffset={4}
          align={align}
          collisionAvoidance={{ side: box?.width === 0 ? "shift" : "flip" }}
        >
          <Menu.Popup className="pop menu">
            {ids.map((id) => {
              const item = command(id);
              if (!item || item.isShown?.() === false) return null;
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
    </Menu.Root>
  );
}
