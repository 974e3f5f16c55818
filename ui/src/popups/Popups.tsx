import { CSPProvider } from "@base-ui/react/csp-provider";
import { AddSearch } from "../canvas/add/AddSearch";
import { ChoiceList } from "../lists/ChoiceList";
import { CommandMenu } from "./CommandMenu";
import { Overlays } from "./Overlays";
import "../commands/fieldCommands";

/** Everything that opens over the page. It is loaded when the page is ready, or when something opens before that. */
export function Popups() {
  return (
    <CSPProvider disableStyleElements>
      <AddSearch />
      <ChoiceList />
      <CommandMenu />
      <Overlays />
    </CSPProvider>
  );
}
