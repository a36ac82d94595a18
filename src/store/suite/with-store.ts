/**
 * Runs a test on a store of its own.
 */
import type { Store } from "#store/store.ts";
import type { StoreFactory } from "#store/suite/support.ts";

/** The body of one test, with an empty store that is closed and freed afterwards, also when the test fails. */
export function withStore(factory: StoreFactory, body: (store: Store) => Promise<void>): () => Promise<void> {
  return async () => {
    const { store, dispose } = await factory();
    try {
      await body(store);
    } finally {
      await store.close();
      await dispose();
    }
  };
}
