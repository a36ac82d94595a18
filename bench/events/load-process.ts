/**
 * Producers and subscribers in a process of its own, on bare sockets, so that what is measured is not the measuring: `load-process.ts`. Producers send one event after another over kept connections; subscribers
 * answer everything with 200 and note how old the event was.
 */
import { connect, createServer, type Socket } from "node:net";

/** What it is told. */
export type LoadOrder = {
  readonly port: number;
  readonly producers: number;
  /** How many times each event is delivered. */
  readonly triggers: number;
  readonly events: number;
  /** Of the data. */
  readonly bytes: number;
  /** Wait between two events of a producer; 0: none. */
  readonly pauseMs: number;
};

/** What it found. */
export type LoadResult = {
  readonly acceptedPerSecond: number;
  readonly deliveredPerSecond: number;
  readonly acceptP50Ms: number;
  readonly acceptP99Ms: number;
  readonly deliveryP50Ms: number;
  readonly deliveryP99Ms: number;
  readonly refused: number;
  readonly lost: number;
  readonly duplicates: number;
};

let ages: number[] = [];
let seen = new Map<string, number>();

function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Calls back with each whole message: its head, when its body is there. */
function eachMessage(socket: Socket, take: (head: string) => void): void {
  let rest = "";
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    rest += chunk.toString("latin1");
    for (;;) {
      const end = rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = rest.slice(0, end);
      const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (rest.length < end + 4 + length) return;
      rest = rest.slice(end + 4 + length);
      take(head);
    }
  });
}

const subscriber = createServer((socket) =>
  eachMessage(socket, (head) => {
    const id = /ce-id: *(\S+)/i.exec(head)?.[1] ?? "";
    const sentMs = Number(/ce-sent: *(\S+)/i.exec(head)?.[1] ?? 0);
    ages.push(now() - sentMs);
    seen.set(id, (seen.get(id) ?? 0) + 1);
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  }),
);

async function produce(order: LoadOrder, numbers: { next: number }, waits: number[]): Promise<number> {
  const socket = connect(order.port, "127.0.0.1");
  const data = "x".repeat(order.bytes);
  let refused = 0;
  let answered: (head: string) => void = () => {};
  eachMessage(socket, (head) => answered(head));
  while (numbers.next < order.events) {
    const id = numbers.next++;
    const startMs = now();
    const head = await new Promise<string>((resolve) => {
      answered = resolve;
      socket.write(
        `POST /bench/main HTTP/1.1\r\nhost: b\r\nce-specversion: 1.0\r\nce-id: ${id}\r\nce-source: /bench\r\nce-type: bench.event\r\nce-sent: ${startMs}\r\ncontent-type: text/plain\r\ncontent-length: ${order.bytes}\r\n\r\n${data}`,
      );
    });
    waits.push(now() - startMs);
    if (!head.startsWith("HTTP/1.1 202")) refused++;
    if (order.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, order.pauseMs));
  }
  socket.destroy();
  return refused;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

async function run(order: LoadOrder): Promise<LoadResult> {
  ages = [];
  seen = new Map();
  const waits: number[] = [];
  const numbers = { next: 0 };
  const startMs = now();
  const producing = Array.from({ length: order.producers }, () => produce(order, numbers, waits));
  const refused = (await Promise.all(producing)).reduce((sum, count) => sum + count, 0);
  const acceptedMs = now() - startMs;
  const wanted = (order.events - refused) * order.triggers;
  for (let waitedMs = 0; ages.length < wanted && waitedMs < 60_000; waitedMs += 5) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const deliveredMs = now() - startMs;
  const counts = [...seen.values()];
  return {
    acceptedPerSecond: Math.round((order.events / acceptedMs) * 1000),
    deliveredPerSecond: Math.round((ages.length / deliveredMs) * 1000),
    acceptP50Ms: quantile(waits, 0.5),
    acceptP99Ms: quantile(waits, 0.99),
    deliveryP50Ms: quantile(ages, 0.5),
    deliveryP99Ms: quantile(ages, 0.99),
    refused,
    lost: order.events - refused - seen.size,
    duplicates: counts.reduce((sum, count) => sum + Math.max(0, count - order.triggers), 0),
  };
}

process.on("message", (order) => void run(order as LoadOrder).then((result) => process.send?.(result)));
process.on("disconnect", () => process.exit(0));
subscriber.listen(0, "127.0.0.1", () => {
  process.send?.({ subscriberPort: (subscriber.address() as { readonly port: number }).port });
});
