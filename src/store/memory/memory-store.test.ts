import { createMemoryStore } from "#store/memory/memory-store.ts";
import { storeSuite } from "#store/store-suite.ts";

storeSuite("the memory store", async () => ({ store: createMemoryStore(), dispose: async () => {} }));
