import { CSPProvider } from "@base-ui/react/csp-provider";
import { ReactFlowProvider } from "@xyflow/react";
import { lazy, Suspense, useEffect } from "react";
import { Canvas } from "../canvas/Canvas";
import { LargeView } from "../panels/LargeView";
import { ChoiceList } from "../widgets/ChoiceList";
import { Banner } from "./Banner";
import { DrawerHost } from "./DrawerHost";
import { IconSymbols } from "./Icon";
import { Overlays } from "./Overlays";
import { Rail } from "./Rail";
import { SidePanel } from "./SidePanel";
import { StatusLine } from "./StatusLine";
import { start } from "./start";
import { TopBar } from "./TopBar";
import { leaveTraining, useView } from "./view";

const TrainView = lazy(() =>
  import("../panels/train/TrainView").then((module) => ({ default: module.TrainView })),
);

let isStarted = false;

/** The page: top bar, rail, drawer, canvas, right panel and status line. */
export function App() {
  const isTraining = useView((view) => view.isTraining);
  useEffect(() => {
    if (!isStarted) void start();
    isStarted = true;
  }, []);
  return (
    <CSPProvider disableStyleElements>
      <div className="frame">
        <IconSymbols />
        <TopBar />
        <Rail />
        <DrawerHost />
        <main>
          <Banner />
          {isTraining ? (
            <Suspense>
              <TrainView onLeave={leaveTraining} />
            </Suspense>
          ) : (
            <ReactFlowProvider>
              <Canvas />
            </ReactFlowProvider>
          )}
          <LargeView />
        </main>
        {!isTraining && <SidePanel />}
        <StatusLine />
      </div>
      <Overlays />
      <ChoiceList />
    </CSPProvider>
  );
}
