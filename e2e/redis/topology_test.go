package redis

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/redis"
)

// open makes a client as the gate does, and waits for it.
func open(t testing.TB, o redis.Options) *redis.Client {
	t.Helper()
	o.Timeout = time.Second // this is not about time
	c, err := redis.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	until(t, "connected", func() bool { return c.State().Connected })
	return c
}

func password() (string, error) { return secret, nil }

// once uses n identifiers twice: the first time passes, the second does not.
func once(t *testing.T, one, two *redis.Client, n int) (last [32]byte) {
	t.Helper()
	for range n {
		_, _ = rand.Read(last[:])
		if first, _, err := one.First(context.Background(), last, time.Minute); err != nil || !first {
			t.Fatalf("first use: %v, %v", first, err)
		}
		if again, _, err := two.First(context.Background(), last, time.Minute); err != nil || again {
			t.Fatalf("second use: %v, %v", again, err)
		}
	}
	return last
}

// A cluster of three: identifiers spread over all of them.
func TestCluster(t *testing.T) {
	var nodes []string
	var servers []*server
	for range 3 {
		s := startServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		s.do("ACL", "SETUSER", user, "+cluster|slots", "+cluster|shards")
		servers, nodes = append(servers, s), append(nodes, s.address())
	}
	servers[0].do(append(append([]string{"--cluster", "create"}, nodes...), "--cluster-yes")...)
	until(t, "the cluster is whole", func() bool {
		return strings.Contains(servers[0].do("CLUSTER", "INFO"), "cluster_state:ok") && strings.Contains(servers[2].do("CLUSTER", "INFO"), "cluster_state:ok")
	})
	o := redis.Options{Addresses: nodes[:1], Cluster: true, Username: user, Password: password}
	once(t, open(t, o), open(t, o), 300)
	for i, s := range servers {
		if keys := s.do("DBSIZE"); keys == "0" {
			t.Errorf("node %d holds nothing", i)
		}
	}
}

// A master that dies and the replica the sentinels put in its place: what
// the replica may not have heard of is refused as too old.
func TestSentinelFailover(t *testing.T) {
	master := startServer(t)
	replica := startServer(t, "--replicaof", "127.0.0.1 "+master.port)
	until(t, "the replica follows", func() bool { return strings.Contains(replica.do("INFO", "replication"), "master_link_status:up") })
	var sentinels []string
	for range 3 {
		sentinels = append(sentinels, startSentinel(t, master))
	}
	for _, s := range []*server{master, replica} {
		s.do("ACL", "SETUSER", user, "+role")
	}
	o := redis.Options{Addresses: sentinels, SentinelMaster: "main", Username: user, Password: password}
	one, two := open(t, o), open(t, o)
	last := once(t, one, two, 50)
	_, before, err := one.First(context.Background(), last, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	master.kill()
	failed := time.Now()
	until(t, "the other is master", func() bool {
		_, since, err := one.First(context.Background(), last, time.Minute)
		return err == nil && since.After(before)
	})
	t.Logf("another master after %d ms", time.Since(failed).Milliseconds())
	until(t, "both agree", func() bool { return two.State().Connected })
	once(t, one, two, 50)
}

func startSentinel(t *testing.T, master *server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sentinel.conf")
	text := "sentinel monitor main 127.0.0.1 " + master.port + " 2\n" +
		"sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	s.execute([]string{path, "--sentinel", "--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir})
	return s.address()
}
