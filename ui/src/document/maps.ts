/** Changed copies of immutable maps. Each keeps the order of its keys, and returns the same map if nothing changes. */

/** With a key set; a new key comes last. */
export function withKey<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  if (map.get(key) === value && map.has(key)) return map;
  return new Map(map).set(key, value);
}

/** Without some keys. */
export function withoutKeys<K, V>(map: ReadonlyMap<K, V>, keys: { has(key: K): boolean }): ReadonlyMap<K, V> {
  return filtered(map, (_, key) => !keys.has(key));
}

/** Only the items that a condition holds for. */
export function filtered<K, V>(
  map: ReadonlyMap<K, V>,
  keep: (value: V, key: K) => boolean,
): ReadonlyMap<K, V> {
  const kept = [...map].filter(([key, value]) => keep(value, key));
  return kept.length === map.size ? map : new Map(kept);
}

/** With each value replaced. */
export function mapped<K, V>(map: ReadonlyMap<K, V>, change: (value: V, key: K) => V): ReadonlyMap<K, V> {
  let changed = false;
  const items = [...map].map(([key, value]): [K, V] => {
    const next = change(value, key);
    changed ||= next !== value;
    return [key, next];
  });
  return changed ? new Map(items) : map;
}

/** With some keys renamed, at their places. */
export function renamed<V>(
  map: ReadonlyMap<string, V>,
  rename: (key: string) => string,
): ReadonlyMap<string, V> {
  let changed = false;
  const items = [...map].map(([key, value]): [string, V] => {
    const next = rename(key);
    changed ||= next !== key;
    return [next, value];
  });
  return changed ? new Map(items) : map;
}

/** A list with some values left out; the same list if none is. */
export function without<T>(list: readonly T[], values: { has(value: T): boolean }): readonly T[] {
  return list.some((value) => values.has(value)) ? list.filter((value) => !values.has(value)) : list;
}
