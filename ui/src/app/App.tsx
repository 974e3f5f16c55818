import { ReactFlowProvider } from "@xyflow/react";
import { useEffect } from "react";
import { dropFiles } from "../canvas/add/dropFiles";
import { Canvas } from "../canvas/Canvas";
import { useView } from "../state/view";
import { IconSymbols } from "../style/Icon";
import { Banner } from "./Banner";
import { LazyDrawer, LazyLargeView, LazyPopups, LazyTrainView } from "./LazyParts";
import { Rail } from "./Rail";
import { SidePanel } from "./SidePanel";
import { StatusLine } from "./StatusLine";
import { start } from "./start";
import { TopBar } from "./TopBar";

let isStarted = false;

/** The page: top bar, rail, drawer, canvas, right panel and status line. */
export function App() {
  const isTraining = useView((view) => view.isTraining);
  useEffect(() => {
    if (!isStarted) void start();
    isStarted = true;
  }, []);
  return (
    <>
      <div className="frame">
        <IconSymbols />
        <TopBar />
        <Rail />
        <LazyDrawer />
        <main
          onDragOver={(event) => event.dataTransfer.types.includes("Files") && event.preventDefault()}
          onDrop={(event) => void dropFiles(event)}
        >
          <Banner />
          {isTraining ? (
            <LazyTrainView />
          ) : (
            <ReactFlowProvider>
              <Canvas />
            </ReactFlowProvider>
          )}
          <LazyLargeView />
        </main>
        {!isTraining && <SidePanel />}
        <StatusLine />
      </div>
      <LazyPopups />
    </>
  );
}
