import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { describe, it } from "node:test";
import { connectedInodes, endConnections } from "./pack-connections.ts";

const row = (state: string, inode: number) =>
  `   1: 0500340A:1F90 0100007F:8201 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 20 4 0`;
const table = ["  sl  local_address rem_address   st", row("0A", 1), row("01", 2), row("06", 0), row("01", 3)].join(
  "\n",
);

describe("connections of a pod in a pack", () => {
  it("are the connected sockets of its network", () => {
    assert.deepEqual(connectedInodes(table), [2, 3]);
  });

  it("are not read from any more when they are answered, and left alone while they are not", () => {
    const { parts, done } = house({ answered: [20] });

    assert.equal(endConnections(parts, 7, table, "idle"), 2);
    assert.deepEqual(done, ["stopReading 20"]);
  });

  it("end all when their pod has ended", () => {
    const { parts, done } = house({ answered: [] });

    assert.equal(endConnections(parts, 7, table, "all"), 2);
    assert.deepEqual(done, ["stop 20", "stop 30"]);
  });
});

function house({ answered }: { readonly answered: readonly number[] }) {
  const done: string[] = [];
  const taken = new Map<number, number>();
  const name = (fd: number) => taken.get(fd) ?? 0;
  const parts = {
    libc: {
      duplicateFrom: (_pid: number, descriptor: number) => {
        const fd = openSync("/dev/null", "r");
        taken.set(fd, descriptor);
        return fd;
      },
    },
    connections: {
      isAnswered: (fd: number) => answered.includes(name(fd)),
      stopReading: (fd: number) => void done.push(`stopReading ${name(fd)}`),
      stop: (fd: number) => void done.push(`stop ${name(fd)}`),
    },
    socketsOf: () =>
      new Map([
        [2, 20],
        [3, 30],
      ]),
  };
  return { parts, done };
}
