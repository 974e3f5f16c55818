import { memo } from "react";
import { useCheck } from "../../server/documents/check";
import { address, thumbnail } from "../../server/requests/client";
import { latestPicture, useRuns } from "../../server/runs/runStore";
import { useGraph, useWholeId } from "../../state/editor";
import { pictureKey, uploadOf } from "./nodePictures";

/** The picture of a node: whole, centred, never cropped; four crop marks while there is none. */
export const NodePicture = memo(function NodePicture({ id }: { id: string }) {
  const whole = useWholeId(id);
  const key = useCheck(() => pictureKey(id));
  const upload = useGraph((graph) => uploadOf(graph, id));
  const url = useRuns((state) => {
    const picture = latestPicture(state, whole, key)?.url ?? upload;
    return picture === undefined || state.lost.includes(picture) ? null : picture;
  });
  if (url === null) return <div className="node-picture empty" aria-hidden="true" />;
  return (
    <div className="node-picture">
      <img
        src={url === upload ? thumbnail(url, 512) : address(url)}
        alt={`${url === upload ? "File" : "Result"} of ${id}`}
        draggable={false}
        onError={() => useRuns.setState(({ lost }) => ({ lost: [...lost, url] }))}
      />
    </div>
  );
});
