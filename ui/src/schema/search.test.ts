import { describe, expect, test } from "vitest";
import { types } from "../testing/smallTypes";
import { byCategory, search } from "./search";

const names = (query: string, recent: readonly string[] = []) =>
  search(types.types, query, recent).map((found) => found.type.name);

describe("the search", () => {
  test.each([
    ["blur", ["Blur"]],
    ["enc", ["EncodePrompt", "Encode"]],
    ["encode", ["Encode", "EncodePrompt"]],
    ["prompt", ["EncodePrompt"]],
    ["samp", ["Denoise"]],
    ["ksampler", ["Denoise"]],
    ["ep", ["EncodePrompt"]],
    ["load model", ["LoadModel"]],
    ["load checkpoint", ["LoadModel"]],
    ["checkpoint loader", ["LoadModel"]],
    ["lora", ["ApplyLoRA"]],
    ["mask", ["ImageToMask"]],
    ["picture", ["Decode"]],
    [":mask", ["ImageToMask"]],
    ["@mask", ["ImageToMask", "Composite"]],
    [":latent @image", ["Decode", "Encode"]],
    ["en :latent", ["Encode", "EmptyLatent"]],
    ["zzz", []],
  ])("for %s finds %j first", (query, expected) => {
    expect(names(query).slice(0, expected.length)).toEqual(expected);
  });

  test("has exact names before prefixes, words, letters inside, and letters in order", () => {
    const kinds = ["Grid", "GridLines", "BigGrid", "Egrids", "GoRightInside", "Other"].map((name) => {
      const [type] = types.types;
      if (!type) throw new Error("no types");
      return { ...type, name, id: name, aliases: [], doc: name === "Other" ? "Makes a grid." : "" };
    });
    const found = search([...kinds].reverse(), "grid");
    const expected = ["Grid", "GridLines", "BigGrid", "Egrids", "GoRightInside", "Other"];
    expect(found.map((item) => item.type.name)).toEqual(expected);
    expect(found[2]?.marks).toEqual([[3, 7]]);
  });

  test("lists everything for no query, the recently used first, and nothing deprecated", () => {
    const all = names("", ["Grid", "Decode"]);
    expect(all.slice(0, 2)).toEqual(["Grid", "Decode"]);
    expect(all).toHaveLength(types.types.filter((type) => !type.deprecated).length);
    expect(names("oldblur")).toEqual(["OldBlur"]);
  });

  test("prefers recently used types among equal matches only", () => {
    expect(names("enc", ["Encode"]).slice(0, 2)).toEqual(["Encode", "EncodePrompt"]);
    expect(names("encode", ["EncodePrompt"])[0]).toBe("Encode");
  });

  test("says which alias matches", () => {
    expect(search(types.types, "ksam")[0]).toMatchObject({ alias: "KSampler", marks: [] });
    expect(search(types.types, "den")[0]).toMatchObject({ alias: undefined, marks: [[0, 3]] });
  });

  test("groups types by category", () => {
    const groups = byCategory(types);
    expect([...groups.keys()]).toEqual([...groups.keys()].sort());
    expect(groups.get("image")?.map((type) => type.name)).toEqual(["Blur", "Composite", "Grid", "Sharpen"]);
  });
});
