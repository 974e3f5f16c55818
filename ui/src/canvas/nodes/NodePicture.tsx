import { memo } from "react";
import { useCheck } from "../../server/documents/check";
import { address } from "../../server/requests/client";
import { latestPicture, useRuns } from "../../server/runs/runStore";
import { useWholeId } from "../../state/editor";
import { pictureKey } from "./pictureKey";

/** The latest picture of a node: whole, centred, never cropped; four crop marks while there is none. */
export const NodePicture = memo(function NodePicture({ id }: { id: string }) {
  const whole = useWholeId(id);
  const key = useCheck(() => pictureKey(id));
  const picture = useRuns((state) => latestPicture(state, whole, key));
  if (picture === null) return <div className="node-picture empty" aria-hidden="true" />;
  return (
    <div className="node-picture">
      <img
        src={address(picture.url)}
        alt={`Result of ${id}`}
        draggable={false}
        onError={() => useRuns.setState(({ lost }) => ({ lost: [...lost, picture.url] }))}
      />
    </div>
  );
});
