import { Icon, IconSymbols } from "./Icon.tsx";

/** The page: top bar, rail, canvas, right panel and status line. */
export function App() {
  return (
    <div className="frame">
      <IconSymbols />
      <header>
        <Icon name="lamp" size={20} />
      </header>
      <nav aria-label="Drawers" />
      <main aria-label="Canvas" />
      <aside aria-label="Panel" />
      <footer>Ready.</footer>
    </div>
  );
}
