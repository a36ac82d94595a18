/**
 * HAProxy and nginx on one core, told to do the same: a listener without TLS and one with it, connections to the backend that are kept.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A proxy that runs. */
export type RunningProxy = {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  readonly tlsPort: number;
  stop(): void;
};

export type PeerPlace = {
  readonly folder: string;
  readonly backendPort: number;
  readonly port: number;
  readonly tlsPort: number;
  readonly certificateFile: string;
  readonly keyFile: string;
};

/** Where a program is; Debian's folders are not in everybody's path. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, name)).find(existsSync);
}

export function startHaproxy(program: string, place: PeerPlace): RunningProxy {
  const { folder, backendPort, port, tlsPort, certificateFile, keyFile } = place;
  const pem = join(folder, "both.pem");
  writeFileSync(pem, readFileSync(certificateFile, "utf8") + readFileSync(keyFile, "utf8"));
  const file = join(folder, "haproxy.cfg");
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
  option forwardfor
  unique-id-format %{+X}o%ci_%cp_%Ts_%rt
  unique-id-header x-request-id
frontend plain
  bind 127.0.0.1:${port}
  default_backend b
frontend tls
  bind 127.0.0.1:${tlsPort} ssl crt ${pem} alpn h2,http/1.1
  default_backend b
backend b
  balance leastconn
  http-reuse always
  server s 127.0.0.1:${backendPort}
`,
  );
  return running("HAProxy", spawn(program, ["-db", "-f", file], { stdio: "ignore" }), place);
}

export function startNginx(program: string, place: PeerPlace): RunningProxy {
  const { folder, backendPort, port, tlsPort, certificateFile, keyFile } = place;
  const file = join(folder, "nginx.conf");
  const location = `location / { proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Request-Id $request_id; }`;
  writeFileSync(
    file,
    `daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid; error_log /dev/null;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; client_body_temp_path ${folder}/t1; proxy_temp_path ${folder}/t2; fastcgi_temp_path ${folder}/t3; uwsgi_temp_path ${folder}/t4; scgi_temp_path ${folder}/t5;
  upstream b { server 127.0.0.1:${backendPort}; keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${port}; ${location} }
  server { listen 127.0.0.1:${tlsPort} ssl http2; ssl_certificate ${certificateFile}; ssl_certificate_key ${keyFile}; ${location} }
}
`,
  );
  return running("nginx", spawn(program, ["-c", file, "-p", folder], { stdio: "ignore" }), place);
}

function running(name: string, child: ChildProcess, { port, tlsPort }: PeerPlace): RunningProxy {
  return { name, pid: child.pid ?? 0, port, tlsPort, stop: () => void child.kill("SIGKILL") };
}
