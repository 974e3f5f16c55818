import { Dialog } from "@base-ui/react/dialog";
import { allCommands, type Group } from "../commands/commands";
import { shownKeys } from "../commands/keys";
import { Icon } from "../style/Icon";

const GROUPS: readonly Group[] = ["Run", "Edit", "Nodes", "Canvas", "Graph", "Page"];

/** What the mouse does while a key is held. */
const MOUSE = [
  { id: "extend", group: "Canvas", label: "Select more, or fewer", keys: ["Ctrl+Click", "Shift+Click"] },
  { id: "box", group: "Canvas", label: "Select by a frame", keys: ["Shift+Drag"] },
];

/** All keys, by what they are for. */
export function KeySheet({ onClose }: { onClose: () => void }) {
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop dim" />
        <Dialog.Popup className="pop sheet">
          <div className="sheet-head">
            <Dialog.Title className="panel-title">Keys</Dialog.Title>
            <span className="meta grow">
              They work while the canvas has the focus; those with Ctrl mostly everywhere.
            </span>
            <Dialog.Close className="icon-button" aria-label="Close">
              <Icon name="close" />
            </Dialog.Close>
          </div>
          <div className="sheet-columns">
            {GROUPS.map((group) => (
              <section key={group}>
                <h3>{group}</h3>
                <dl>
                  {[...allCommands(), ...MOUSE]
                    .filter((item) => item.group === group && item.keys !== undefined)
                    .map((item) => (
                      <div key={item.id}>
                        <dt>{item.label}</dt>
                        <dd>
                          {item.keys?.map((key) => (
                            <kbd key={key}>{shownKeys(key)}</kbd>
                          ))}
                        </dd>
                      </div>
                    ))}
                </dl>
              </section>
            ))}
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
