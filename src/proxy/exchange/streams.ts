/**
 * The two sides of a request that is being carried, whatever protocol each of them speaks. Bytes are pushed; whoever cannot take more says so when it is flushed, and tells when it can again.
 */
import type { Fields } from "#proxy/message/fields.ts";
import type { RequestHead, ResponseHead } from "#proxy/message/heads.ts";

/** What is known of the connection that a request came by. */
export type ClientFacts = {
  readonly listener: string;
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly isTls: boolean;
  /** What the client asked for by SNI. */
  readonly serverName: string | undefined;
  readonly trustsForwarded: boolean;
};

/** A response's beginning, for the client. */
export type ResponseStart = Pick<ResponseHead, "status" | "reason" | "fields" | "bodyLength" | "upgrade">;

/** The client's side of one request. After `end` or `abort` it is not used any more. */
export interface ClientStream {
  readonly head: RequestHead;
  readonly facts: ClientFacts;
  /** Stops calls of onRequestBody; what comes meanwhile waits, within bounds. */
  pauseBody(): void;
  /** Goes on after {@link pauseBody}. */
  resumeBody(): void;
  /** Says 100 (Continue) or another informational status. */
  sendInformational(status: number, fields: Fields): void;
  /** Begins the response. With 101 all that follows in both directions is the upgraded protocol's. */
  sendHead(start: ResponseStart): void;
  /** A piece of the response's body. */
  write(bytes: Buffer): void;
  /** Sends what was written. False: too much is unsent; onClientDrain will tell when to go on. */
  flush(): boolean;
  /** Ends the response and sends what was written. */
  end(trailers: Fields): void;
  /** The response cannot be finished: the client must notice. */
  abort(): void;
}

/** Who carries a request, as the client's side sees it. */
export interface ClientOwner {
  /** A piece of the request's body; an upgraded connection's bytes. */
  onRequestBody(bytes: Buffer): void;
  /** The request is whole. Comes once for requests with a body; for upgraded connections when the client ends its side. */
  onRequestEnd(trailers: Fields): void;
  /** All bytes that had come are handed over: a good moment to send. */
  onRequestReadDone(): void;
  /** The client can take more. */
  onClientDrain(): void;
  /** The client is gone or broke the protocol. Nothing else is called after it. `status`: what it would have been told. */
  onClientGone(reason: ClientGoneReason): void;
}

export type ClientGoneReason = "closed" | "timeout" | "bad-request";

/** What goes to the upstream before the body. */
export type RequestStart = Pick<
  RequestHead,
  "method" | "target" | "authority" | "fields" | "bodyLength" | "takesTrailers" | "upgrade"
>;

/** The upstream's side of one try. After its end, its failure or `abort` it is not used any more. */
export interface UpstreamStream {
  /** Begins the request. */
  sendHead(start: RequestStart): void;
  /** A piece of the request's body. */
  write(bytes: Buffer): void;
  /** As {@link ClientStream.flush}. */
  flush(): boolean;
  /** The request is whole; sends what was written. */
  end(trailers: Fields): void;
  /** Stops calls of onResponseBody. */
  pause(): void;
  /** Goes on after {@link pause}. */
  resume(): void;
  /** Nobody wants the answer any more. */
  abort(): void;
}

/** Who carries a request, as the upstream's side sees it. */
export interface UpstreamOwner {
  /** 102, 103 and the like, which come before the response. */
  onInformational(status: number, fields: Fields): void;
  /** The response begins. */
  onResponseHead(head: ResponseHead): void;
  /** A piece of the response's body; an upgraded connection's bytes. */
  onResponseBody(bytes: Buffer): void;
  /** The response is whole. Comes once. */
  onResponseEnd(trailers: Fields): void;
  /** All bytes that had come are handed over: a good moment to send. */
  onResponseReadDone(): void;
  /** The upstream can take more. */
  onUpstreamDrain(): void;
  /** The try has failed. Nothing else is called after it. */
  onUpstreamFailed(failure: UpstreamFailure): void;
}

/** `connect`: nothing was sent. `refused`: an HTTP/2 server said that it did not begin with it. `reset`: the connection or stream ended too early. `bad-response`: what came is no HTTP. */
export type UpstreamFailure = {
  readonly kind: "connect" | "refused" | "reset" | "bad-response";
  readonly message: string;
  /** The connection had served others before, so it may have been at its end already. */
  readonly wasReused: boolean;
};
