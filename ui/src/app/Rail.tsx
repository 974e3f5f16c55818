import { type Drawer, toggleDrawer, toggleTraining, useView } from "../state/view";
import { Icon, type IconName } from "../style/Icon";

const ITEMS: readonly { drawer: Drawer; icon: IconName; word: string }[] = [
  { drawer: "add", icon: "add", word: "Add" },
  { drawer: "graphs", icon: "graphs", word: "Graphs" },
  { drawer: "outputs", icon: "outputs", word: "Outputs" },
  { drawer: "models", icon: "models", word: "Models" },
];

/** The buttons at the left that open a drawer each. */
export function Rail() {
  const open = useView((view) => view.drawer);
  const isTraining = useView((view) => view.isTraining);
  return (
    <nav className="rail" aria-label="Drawers">
      {ITEMS.map(({ drawer, icon, word }) => (
        <button
          key={drawer}
          type="button"
          aria-expanded={open === drawer}
          onClick={() => toggleDrawer(drawer)}
        >
          <Icon name={icon} size={18} />
          {word}
        </button>
      ))}
      <button type="button" aria-pressed={isTraining} onClick={toggleTraining}>
        <Icon name="train" size={18} />
        Train
      </button>
    </nav>
  );
}
