import { expect, test } from "vitest";
import { chunkWords } from "./TextNotes";

test.each([
  [[7], "7 of 75 tokens"],
  [[0], "0 of 75 tokens"],
  [[75, 6], "81 tokens in 2 chunks of at most 75: 75 + 6"],
])("the length of %j is shown in words", (chunks, words) => {
  expect(chunkWords({ chunks, room: 75 })).toBe(words);
});
