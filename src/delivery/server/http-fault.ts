/**
 * What a client is told who gets no further: a status and a line, which `git` shows after "remote:".
 */
export class HttpFault extends Error {
  readonly kind = "HttpFault";
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}
