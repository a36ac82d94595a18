import { systemClock } from "#component-base/clock.ts";
import { providerSuite } from "#kubelet/provider-suite.ts";
import { FakeProvider } from "./fake-provider.ts";

providerSuite("fake", async () => ({
  provider: new FakeProvider({ clock: systemClock }),
  image: "fake",
  close: async () => {},
}));

providerSuite("fake that takes its time", async () => ({
  provider: new FakeProvider({ clock: systemClock, startDelayMs: 2, stopDelayMs: 1 }),
  image: "fake",
  close: async () => {},
}));
