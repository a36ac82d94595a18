import assert from "node:assert/strict";
import { test } from "node:test";
import { MetricRegistry, metricText, sumSnapshots } from "./metrics.ts";

test("counters and histograms are written in Prometheus' format", () => {
  const registry = new MetricRegistry();
  const requests = registry.counter({ name: "requests_total", help: "Requests.", labels: ["route", "code"] });
  const seconds = registry.histogram({ name: "request_seconds", help: "How long." }, [0.1, 1]);
  registry.gauge({ name: "unused", help: "Nothing." });
  requests.with('a"\\\n', "200").add();
  requests.with('a"\\\n', "200").add(2);
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.with().observe(value);

  assert.equal(
    metricText(registry.snapshot()),
    `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{route="a\\"\\\\\\n",code="200"} 3
# HELP request_seconds How long.
# TYPE request_seconds histogram
request_seconds_bucket{le="0.1"} 2
request_seconds_bucket{le="1"} 3
request_seconds_bucket{le="+Inf"} 4
request_seconds_sum 7.65
request_seconds_count 4
`,
  );
});

test("what several threads counted is added up by labels", () => {
  const [first, second] = [new MetricRegistry(), new MetricRegistry()];
  for (const registry of [first, second]) {
    const metric = registry.counter({ name: "n", help: "N.", labels: ["a"] });
    metric.with("x").add(2);
    if (registry === second) metric.with("y").add(5);
    registry.histogram({ name: "h", help: "H." }, [1]).with().observe(0.5);
  }

  const text = metricText(sumSnapshots([first.snapshot(), second.snapshot()]));

  assert.match(text, /n\{a="x"\} 4\nn\{a="y"\} 5\n/);
  assert.match(text, /h_bucket\{le="1"\} 2\n[^]*h_sum 1\nh_count 2\n/);
});

test("series of what is gone are forgotten", () => {
  const registry = new MetricRegistry();
  const metric = registry.counter({ name: "n", help: "N.", labels: ["route"] });
  metric.with("a").add();
  metric.with("b").add();
  metric.forget(([route]) => route === "a");

  assert.doesNotMatch(metricText(registry.snapshot()), /route="a"/);
  assert.match(metricText(registry.snapshot()), /route="b"/);
});
