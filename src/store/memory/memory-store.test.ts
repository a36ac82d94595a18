import { createMemoryStore } from "#store/memory/memory-store.ts";
import { immediateStoreSuite, storeSuite } from "#store/store-suite.ts";

const makeStore = async () => ({ store: createMemoryStore(), dispose: async () => {} });

storeSuite("the memory store", makeStore);
immediateStoreSuite("the memory store", makeStore);
