/** Parts of the page that are loaded when they are needed, so that the canvas appears sooner. */
import { lazy, Suspense } from "react";
import { useAddSearch } from "../canvas/add/addSearchStore";
import { useChoiceList } from "../lists/choices";
import { useDataset } from "../panels/dataset/datasetStore";
import { useMask } from "../panels/mask/maskStore";
import { usePictures } from "../panels/pictures/pictures";
import { useMenu } from "../popups/menu";
import { useOverlay } from "../popups/overlays";
import { useReady } from "../state/ready";
import { leaveTraining, useView } from "../state/view";

const Popups = lazy(async () => ({ default: (await import("../popups/Popups")).Popups }));
const DrawerHost = lazy(async () => ({ default: (await import("./DrawerHost")).DrawerHost }));
const LargeView = lazy(async () => ({ default: (await import("../panels/pictures/LargeView")).LargeView }));
const MaskBrush = lazy(async () => ({ default: (await import("../panels/mask/MaskBrush")).MaskBrush }));
const DatasetView = lazy(async () => ({
  default: (await import("../panels/dataset/DatasetView")).DatasetView,
}));
const TrainView = lazy(async () => ({ default: (await import("../panels/train/TrainView")).TrainView }));

/** Lists, menus and dialogs: loaded when the page is ready, or when one opens before that. */
export function LazyPopups() {
  const isReady = useReady((state) => state.isReady);
  const isSearching = useAddSearch((state) => state.at !== null);
  const isChoosing = useChoiceList((state) => state.open !== null);
  const hasMenu = useMenu((state) => state.box !== null);
  const hasOverlay = useOverlay((state) => state.overlay !== null);
  if (!isReady && !isSearching && !isChoosing && !hasMenu && !hasOverlay) return null;
  return (
    <Suspense>
      <Popups />
    </Suspense>
  );
}

export function LazyDrawer() {
  const isOpen = useView((view) => view.drawer !== null);
  return <Suspense>{isOpen && <DrawerHost />}</Suspense>;
}

export function LazyLargeView() {
  const isOpen = usePictures((state) => state.large !== "none");
  const isPainting = useMask((state) => state.open !== null);
  const hasDataset = useDataset((state) => state.open !== null);
  return (
    <Suspense>
      {hasDataset && <DatasetView />}
      {isOpen && <LargeView />}
      {isPainting && <MaskBrush />}
    </Suspense>
  );
}

export function LazyTrainView() {
  return (
    <Suspense>
      <TrainView onLeave={leaveTraining} />
    </Suspense>
  );
}
