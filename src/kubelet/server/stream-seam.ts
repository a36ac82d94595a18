/**
 * Where exec, attach and port-forward are mounted on the node's API: the server checks the caller and finds pod and container, the streaming protocols do the rest.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { PodRef, PodStreams } from "#kubelet/provider.ts";

/** What a connection is to be joined with. Flags and command come from the query: input, output, error, tty, command; ports for port-forward. */
export type StreamTarget =
  | {
      readonly kind: "exec" | "attach";
      readonly ref: PodRef;
      readonly container: string;
      readonly command: readonly string[];
      readonly stdin: boolean;
      readonly stdout: boolean;
      readonly stderr: boolean;
      readonly tty: boolean;
    }
  | { readonly kind: "portForward"; readonly ref: PodRef; readonly ports: readonly number[] };

/** A request to upgrade its connection (WebSocket or SPDY/3.1), checked and resolved. The handler answers it on the socket, which is its own from now on. */
export type StreamRequest = {
  readonly target: StreamTarget;
  /** What runs the streams: exec, attach and portForward of the provider. */
  readonly streams: PodStreams;
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  /** First bytes after the request. */
  readonly head: Buffer;
};

/** Serves one upgraded connection. Must not throw; failures go to the client. */
export type StreamHandler = (request: StreamRequest) => void;
