package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// contender is one server program, set up as somebody who knows it well would for these bodies alone.
type contender struct {
	name string
	// arrange writes into dir what makes the program serve w at address.
	arrange func(s site, w world) error
	// command returns how to run what arrange wrote.
	command func(s site) []string
	// change brings another generation of the world to the running program, and returns when what it
	// does by itself begins: after files were written, before anybody was told.
	change func(ctx context.Context, c change) error
}

// site is where a contender runs: its files, where it serves, and an address for its own use.
type site struct {
	dir, address, admin string
}

// newSite returns an empty folder and free ports on loopback.
func newSite(ctx context.Context, parent, name string) (site, error) {
	dir, err := os.MkdirTemp(parent, name+"-")
	if err != nil {
		return site{}, fmt.Errorf("making a folder: %w", err)
	}
	s := site{dir: dir}
	for _, address := range []*string{&s.address, &s.admin} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return site{}, fmt.Errorf("finding a free port: %w", err)
		}
		*address = l.Addr().String()
		defer l.Close()
	}
	return s, nil
}

// files writes several files below dir.
func files(dir string, content map[string]string) error {
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing a file: %w", err)
		}
	}
	return nil
}

// contenders returns all, ours first. binary is the operator, debian the folder of debian.sh.
func contenders(binary, debian string) []contender {
	return []contender{
		ours(binary),
		nginx(filepath.Join(debian, "usr/sbin/nginx")),
		haproxy(filepath.Join(debian, "usr/sbin/haproxy")),
		caddy(filepath.Join(debian, "usr/bin/caddy")),
	}
}

// nginx answers from a map in its configuration: no file is opened, no buffer is sent apart from the header.
func nginx(binary string) contender {
	arrange := func(s site, w world) error {
		dir, address := s.dir, s.address
		var table strings.Builder
		for i, host := range w.hosts {
			fmt.Fprintf(&table, "    %s \"%s\";\n", host, w.bodies[i])
		}
		return files(dir, map[string]string{"nginx.conf": `daemon off;
worker_processes 1;
error_log stderr crit;
pid ` + dir + `/nginx.pid;
events { worker_connections 4096; multi_accept on; }
http {
  access_log off;
  server_tokens off;
  tcp_nodelay on;
  keepalive_timeout 620s;
  keepalive_requests 1000000000;
  map_hash_max_size 65536;
  map_hash_bucket_size 256;
  client_body_temp_path ` + dir + `/body;
  proxy_temp_path ` + dir + `/proxy;
  fastcgi_temp_path ` + dir + `/fastcgi;
  uwsgi_temp_path ` + dir + `/uwsgi;
  scgi_temp_path ` + dir + `/scgi;
  map $host $policy {
    default "";
` + table.String() + `  }
  server {
    listen ` + address + ` backlog=4096 deferred;
    default_type "text/plain; charset=utf-8";
    location = ` + mtasts.PolicyPath + ` {
      if ($policy = "") { return 404; }
      return 200 $policy;
    }
    location / { return 404; }
  }
}
`})
	}
	return contender{
		name:    "nginx",
		arrange: arrange,
		command: func(s site) []string { return []string{binary, "-p", s.dir, "-c", s.dir + "/nginx.conf"} },
		change: func(_ context.Context, c change) error {
			if err := arrange(c.site, c.next); err != nil {
				return err
			}
			c.begin()
			return c.signalHangup()
		},
	}
}

// haproxy answers from a map file. A value is one line, and line feeds in what an expression returns get
// escaped, so the lines of a policy are fields of the value.
func haproxy(binary string) contender {
	const lines = `%[var(txn.policy),field(1,;)]\n%[var(txn.policy),field(2,;)]\n%[var(txn.policy),field(3,;)]\n` +
		`%[var(txn.policy),field(4,;)]\n%[var(txn.policy),field(5,;)]\n`
	arrange := func(s site, w world) error {
		dir, address := s.dir, s.address
		var table strings.Builder
		for i, host := range w.hosts {
			fmt.Fprintf(&table, "%s %s\n", host, strings.ReplaceAll(strings.TrimSuffix(w.bodies[i], "\n"), "\n", ";"))
		}
		return files(dir, map[string]string{"policies.map": table.String(), "haproxy.cfg": `global
  nbthread 1
  maxconn 4096
  stats socket ` + dir + `/admin.sock level admin expose-fd listeners
defaults
  mode http
  timeout client 620s
  timeout http-keep-alive 620s
  timeout http-request 5s
  timeout server 10s
  timeout connect 1s
frontend policies
  bind ` + address + ` backlog 4096 defer-accept
  http-request deny deny_status 404 unless { path ` + mtasts.PolicyPath + ` }
  http-request set-var(txn.policy) req.hdr(host),lower,map_str(` + dir + `/policies.map)
  http-request return status 200 content-type "text/plain; charset=utf-8" lf-string "` + lines + `" if { var(txn.policy) -m found }
  http-request deny deny_status 404
`})
	}
	return contender{
		name:    "HAProxy",
		arrange: arrange,
		command: func(s site) []string {
			return []string{binary, "-W", "-db", "-S", s.dir + "/master.sock", "-f", s.dir + "/haproxy.cfg"}
		},
		change: func(ctx context.Context, c change) error {
			if err := arrange(c.site, c.next); err != nil {
				return err
			}
			c.begin()
			return c.commandReload(ctx)
		},
	}
}

// caddy answers one host from its configuration and many from files: its routes and maps are searched from
// the first to the last, a folder by name is not.
func caddy(binary string) contender {
	arrange := func(s site, w world) error {
		content := map[string]string{"caddy.json": caddyConfig(s, w)}
		for i, host := range w.hosts {
			content["sites/"+host+mtasts.PolicyPath] = w.bodies[i]
		}
		return files(s.dir, content)
	}
	return contender{
		name:    "Caddy",
		arrange: arrange,
		command: func(s site) []string {
			return []string{"env", "HOME=" + s.dir, binary, "run", "--config", s.dir + "/caddy.json"}
		},
		change: func(ctx context.Context, c change) error {
			config := caddyConfig(c.site, c.next)
			c.begin()
			err := files(c.dir, map[string]string{"sites/" + c.next.hosts[0] + mtasts.PolicyPath: c.next.bodies[0]})
			if err != nil {
				return err
			}
			return c.postConfig(ctx, config)
		},
	}
}
