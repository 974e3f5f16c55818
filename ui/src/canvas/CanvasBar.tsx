import { useStore } from "@xyflow/react";
import { perform } from "../commands/commands";
import { useView } from "../state/view";
import { IconButton, type IconName } from "../style/Icon";
import { zoomBy } from "./viewport";

/** The buttons in the lower corners: zoom, fit, mouse or trackpad, map. */
export function CanvasBar() {
  const pointer = useView((view) => view.pointer);
  const hasMinimap = useView((view) => view.hasMinimap);
  return (
    <>
      <div className="corner left" role="toolbar" aria-label="Zoom">
        <Tool id="zoomOut" icon="minus" label="Zoom out" />
        <Zoom />
        <Tool id="zoomIn" icon="add" label="Zoom in" />
        <Tool id="fit" icon="fit" label="Show all, or what is selected" />
        <span className="separator" />
        <IconButton
          icon="mouse"
          aria-pressed={pointer === "mouse"}
          label="Mouse: the wheel zooms"
          onClick={() => useView.setState({ pointer: "mouse" })}
        />
        <IconButton
          icon="trackpad"
          aria-pressed={pointer === "trackpad"}
          label="Trackpad: two fingers pan"
          onClick={() => useView.setState({ pointer: "trackpad" })}
        />
      </div>
      <div className="corner right" role="toolbar" aria-label="Map and panel">
        <IconButton
          icon="map"
          aria-pressed={hasMinimap}
          label="Map of the graph"
          onClick={() => useView.setState({ hasMinimap: !hasMinimap })}
        />
        <Tool id="panel" icon="panel" label="Show or hide the panel" />
      </div>
    </>
  );
}

function Tool({ id, icon, label }: { id: string; icon: IconName; label: string }) {
  return <IconButton icon={icon} label={label} onClick={() => perform(id)} />;
}

function Zoom() {
  const zoom = useStore((state) => state.transform[2]);
  return (
    <button type="button" className="zoom" title="Zoom to 100 %" onClick={() => zoomBy(1 / zoom)}>
      {Math.round(zoom * 100)} %
    </button>
  );
}
