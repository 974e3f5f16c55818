/** Follows the event stream of the server: connects again after a loss, and hands events over once per frame. */
import type { ServerEvent } from "./runState";

/** `lost` begins with the first failed attempt; `since` is the time at which it began, in milliseconds. */
export type Connection =
  | { state: "connecting" }
  | { state: "open" }
  | { state: "lost"; since: number; reason: "unreachable" | "refused" | "closing" };

/** The part of `EventSource` that is used. */
export interface Source {
  onmessage: ((event: { data: string }) => void) | null;
  onerror: (() => void) | null;
  onopen: (() => void) | null;
  close(): void;
}

export interface StreamHost {
  /** Open the stream at an address. */
  open(url: string): Source;
  /** Call a function once, before the next frame. */
  frame(callback: () => void): void;
  /** Call a function once after some milliseconds; returns a function that prevents it. */
  after(milliseconds: number, callback: () => void): () => void;
  now(): number;
  /** Whether the server answers, and refuses this page: its token is of an earlier start. */
  isRefused(): Promise<boolean>;
}

export interface StreamListener {
  /**
   * The events since the last frame, in their order. Progress and previews that newer ones replace are left out.
   */
  onEvents(events: ServerEvent[]): void;
  /** The stream has begun anew: events may have been missed, so snapshots are needed. */
  onMissed(serverId: string): void;
  onConnection(connection: Connection): void;
}

const RETRY_MS = [250, 500, 1000, 2000, 3000];

export class EventStream {
  private readonly host: StreamHost;
  private readonly listener: StreamListener;
  private source: Source | null = null;
  private waiting: ServerEvent[] = [];
  private isScheduled = false;
  private attempts = 0;
  private lostSince: number | null = null;
  private cancelRetry: (() => void) | null = null;
  private serverId: string | null = null;
  private seq = 0;

  constructor(host: StreamHost, listener: StreamListener) {
    this.host = host;
    this.listener = listener;
  }

  /** Connect. */
  start(): void {
    if (this.source !== null) return;
    this.cancelRetry?.();
    this.cancelRetry = null;
    const place = this.serverId === null ? "" : `?since=${this.serverId}-${this.seq}`;
    const source = this.host.open(`/api/v1/events${place}`);
    this.source = source;
    source.onmessage = (message) => {
      if (this.source === source) this.take(JSON.parse(message.data) as ServerEvent);
    };
    source.onerror = () => {
      if (this.source === source) this.lose("unreachable");
    };
  }

  /** Disconnect and hand over what has come. */
  stop(): void {
    this.cancelRetry?.();
    this.cancelRetry = null;
    this.source?.close();
    this.source = null;
    this.flush();
  }

  /** Try again at once, such as after a click or when the page becomes visible. */
  retry(): void {
    if (this.cancelRetry === null) return;
    this.start();
  }

  private take(event: ServerEvent): void {
    if (event.type === "hello") {
      this.flush();
      const isNew = this.serverId !== event.data.server_id;
      this.serverId = event.data.server_id;
      this.seq = event.seq;
      this.attempts = 0;
      this.lostSince = null;
      this.listener.onConnection({ state: "open" });
      if (isNew || event.data.missed) this.listener.onMissed(event.data.server_id);
      return;
    }
    if (event.seq <= this.seq) return;
    this.seq = event.seq;
    this.waiting.push(event);
    if (event.type === "server.closing") {
      this.flush();
      this.lose("closing");
    } else if (!this.isScheduled) {
      this.isScheduled = true;
      this.host.frame(() => this.flush());
    }
  }

  private flush(): void {
    this.isScheduled = false;
    if (this.waiting.length === 0) return;
    const events = coalesced(this.waiting);
    this.waiting = [];
    this.listener.onEvents(events);
  }

  private lose(reason: "unreachable" | "closing"): void {
    this.source?.close();
    this.source = null;
    this.lostSince ??= this.host.now();
    const since = this.lostSince;
    this.listener.onConnection({ state: "lost", since, reason });
    const delay = RETRY_MS[Math.min(this.attempts, RETRY_MS.length - 1)]!;
    this.attempts += 1;
    this.cancelRetry = this.host.after(delay, () => {
      this.cancelRetry = null;
      this.start();
    });
    if (reason === "unreachable") {
      void this.host.isRefused().then((isRefused) => {
        if (isRefused && this.lostSince === since) {
          this.listener.onConnection({ state: "lost", since, reason: "refused" });
        }
      });
    }
  }
}

/** The events without the progress and previews that later ones of the same step replace. */
export function coalesced(events: ServerEvent[]): ServerEvent[] {
  const seen = new Set<string>();
  const kept: ServerEvent[] = [];
  for (let i = events.length - 1; i >= 0; i -= 1) {
    const event = events[i]!;
    if (event.type === "node.progress" || event.type === "node.preview") {
      const key = `${event.type} ${event.run} ${event.data.path}`;
      if (seen.has(key)) continue;
      seen.add(key);
    } else if (event.type === "node.started") {
      // Progress before a new start belongs to an earlier attempt.
      seen.delete(`node.progress ${event.run} ${event.data.path}`);
    }
    kept.push(event);
  }
  return kept.reverse();
}

/** The stream of a page. */
export function browserHost(addressOf: (path: string) => string): StreamHost {
  return {
    open: (url) => new EventSource(addressOf(url)) as unknown as Source,
    // A hidden page draws no frames, and its state is to be right all the same.
    frame: (callback) => {
      if (document.visibilityState === "hidden") setTimeout(callback, 100);
      else requestAnimationFrame(callback);
    },
    after: (milliseconds, callback) => {
      const timer = setTimeout(callback, milliseconds);
      return () => clearTimeout(timer);
    },
    now: () => Date.now(),
    isRefused: async () => {
      try {
        return (await fetch(addressOf("/api/v1/info"))).status === 401;
      } catch {
        return false;
      }
    },
  };
}
