/**
 * A real API server for tests outside src/; inside, import `#apiserver/testing/test-api-server.ts`.
 */
import {
  startTestApiServer as start,
  type TestApiServer,
  type TestApiServerOptions,
} from "#apiserver/testing/test-api-server.ts";

/** Starts a server on the memory store. Stop it at the end of the test. */
export function startTestApiServer(options?: TestApiServerOptions): Promise<TestApiServer> {
  return start(options);
}
