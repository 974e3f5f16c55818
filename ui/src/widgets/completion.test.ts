import { describe, expect, test } from "vitest";
import { openWord, withCompletion } from "./completion";

describe("a word of a prompt", () => {
  test.each([
    ["a <|", ""],
    ["a <ru|", "ru"],
    ["a <ru|by> b", "ru"],
    ["<sub/folder.x|", "sub/folder.x"],
    ["a <b> <c|", "c"],
    ["a < b|", undefined],
    ["a < |", undefined],
    ["a <ruby>|", undefined],
    ["<lora:ink|", "ink"],
    ["a <lora:|", ""],
    ["a <lora:ink:|", undefined],
    ["a <lora:ink:0.5|", undefined],
    ["a <other:ink|", undefined],
    ["a, embedding:ru|", "ru"],
    ["embedding:|", ""],
    ["<embedding:ru|", "ru"],
    ["reembedding:ru|", undefined],
    ["a <\nb|", undefined],
    ["ruby|", undefined],
  ])("in %j is %j", (marked, query) => {
    const caret = marked.indexOf("|");
    expect(openWord(marked.replace("|", ""), caret)?.query).toBe(query);
  });

  test("after a prefix names models of its kind", () => {
    const kind = (text: string) => openWord(text, text.length)?.kind;
    expect(kind("a <lora:c")).toBe("lora");
    expect(kind("a <LoRA:c")).toBe("lora");
    expect(kind("a <hypernet:")).toBe("hypernetwork");
    expect(kind("embedding:ru")).toBe("embedding");
    expect(kind("a <ru")).toBeUndefined();
  });

  test("is replaced by what is chosen", () => {
    const complete = (marked: string, insert: string) => {
      const caret = marked.indexOf("|");
      const text = marked.replace("|", "");
      const word = openWord(text, caret);
      if (!word) throw new Error("no word");
      const done = withCompletion(text, word, insert);
      return `${done.text.slice(0, done.caret)}|${done.text.slice(done.caret)}`;
    };
    expect(complete("a <ru| b", "<ruby>")).toBe("a <ruby>| b");
    expect(complete("a <ru|>", "<ruby>")).toBe("a <ruby>|");
    expect(complete("<|", "<lora:ink:1>")).toBe("<lora:ink:1>|");
    expect(complete("a <ru|", "ruby")).toBe("a ruby|");
    expect(complete("a <lora:i|> b", "<lora:ink:1>")).toBe("a <lora:ink:1>| b");
    expect(complete("a, embedding:ru|, b", "<ruby>")).toBe("a, <ruby>|, b");
  });
});
