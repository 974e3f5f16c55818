import { AddDrawer } from "../canvas/add/AddDrawer";
import { Drawer } from "../panels/Drawer";
import { GraphsDrawer } from "../panels/GraphsDrawer";
import { ModelsDrawer } from "../panels/ModelsDrawer";
import { OutputsDrawer } from "../panels/pictures/OutputsDrawer";
import { QueuePopup } from "../panels/runs/QueuePopup";
import { useView } from "../state/view";

function close(): void {
  useView.setState({ drawer: null });
}

/** The open drawer, if any. */
export function DrawerHost() {
  const drawer = useView((view) => view.drawer);
  switch (drawer) {
    case "add":
      return <AddDrawer onClose={close} />;
    case "graphs":
      return <GraphsDrawer onClose={close} />;
    case "outputs":
      return <OutputsDrawer onClose={close} />;
    case "models":
      return <ModelsDrawer onClose={close} />;
    case "queue":
      return (
        <Drawer title="Queue" onClose={close}>
          <QueuePopup />
        </Drawer>
      );
    default:
      return null;
  }
}
