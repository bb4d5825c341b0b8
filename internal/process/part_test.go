package process_test

import (
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/wicketgate/wicketgate/internal/process"
)

// part makes this program one that listens at the first address, and has a child
// that listens at the next one.
const part = "PROCESS_TEST_PART"

func TestMain(m *testing.M) {
	addresses := os.Getenv(part)
	if addresses == "" {
		os.Exit(m.Run())
	}
	own, rest, _ := strings.Cut(addresses, " ")
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	if rest != "" {
		worker := exec.Command(os.Args[0])
		worker.Env = append(os.Environ(), part+"="+rest)
		worker.Stderr = os.Stderr // keeps the test's pipe open
		if err := worker.Start(); err != nil {
			panic(err)
		}
	}
	if _, err := net.Listen("tcp", own); err != nil {
		panic(err)
	}
	<-asked
}

// TestPart: a program is there once RunPart returns, and when the test is over
// neither it nor a child that it forgot is.
func TestPart(t *testing.T) {
	for name, end := range map[string]syscall.Signal{"asked": 0, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			addresses := []string{process.Free(t), process.Free(t)}
			var run *process.RunningPart
			t.Run("runs", func(t *testing.T) {
				run = process.RunPart(t, process.Part{Program: os.Args[0], Env: []string{part + "=" + strings.Join(addresses, " ")}, Listens: addresses, End: end})
			})
			select {
			case <-run.Ended():
			default:
				t.Error("it runs on")
			}
			run.Stop()
			for _, address := range addresses {
				if conn, err := net.Dial("tcp", address); err == nil {
					_ = conn.Close()
					t.Errorf("somebody still listens at %s", address)
				}
			}
		})
	}
}
