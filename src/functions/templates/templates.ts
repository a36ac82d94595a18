/**
 * The first files of a new function, per runtime: what a person reads first about functions, so as little as can be.
 */
import type { Runtime } from "#functions/kinds.ts";

/** Files by their names. */
export function templateFiles(name: string, runtime: Runtime): Readonly<Record<string, string>> {
  const description = functionYaml(name, runtime);
  if (runtime === "python") return { "main.py": pythonCode, "function.yaml": description, ".funcignore": pythonIgnore };
  if (runtime === "container")
    return { Dockerfile: dockerfile, "server.py": containerCode, "function.yaml": description };
  const code = runtime === "node" ? nodeCode : isolateCode;
  return { "index.ts": code, "function.yaml": description, ".funcignore": scriptIgnore };
}

function functionYaml(name: string, runtime: Runtime): string {
  return `apiVersion: nodeless.dev/v1alpha1
kind: Function
metadata:
  name: ${name}
spec:
  runtime: ${runtime}
  env:
    - name: GREETING
      value: Hello
`;
}

// A line of its own: it is the function's, not this file's.
const handlerHead = "export default {";

const isolateCode = `interface Env {
  readonly GREETING: string;
}

${handlerHead}
  async fetch(request: Request, env: Env): Promise<Response> {
    const name = new URL(request.url).searchParams.get("name") ?? "world";
    console.log("greeting", name);
    return new Response(\`\${env.GREETING}, \${name}!\\n\`);
  },
};
`;

const nodeCode = `${handlerHead}
  async fetch(request: Request): Promise<Response> {
    const name = new URL(request.url).searchParams.get("name") ?? "world";
    console.log("greeting", name);
    return new Response(\`\${process.env.GREETING}, \${name}, from Node \${process.version}!\\n\`);
  },
};
`;

const pythonCode = `import os


def handler(request):
    name = request.query.get("name", "world")
    print("greeting", name)
    return f"{os.environ['GREETING']}, {name}!\\n"
`;

const dockerfile = `FROM docker.io/library/python:3-slim
COPY server.py /server.py
CMD ["python3", "/server.py"]
`;

const containerCode = `import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.environ['GREETING']} from a container!\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# The first process of a container ends by a signal only if it says so.
signal.signal(signal.SIGTERM, lambda *_: exit(0))
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`;

const scriptIgnore = "*.log\n*.test.ts\n.env\n";
const pythonIgnore = "*.log\n*_test.py\n.env\n";
