package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// profileVariable names the files, less their suffixes, into which a godwit
// that was built for profiling writes.
const profileVariable = "GODWIT_BENCH_PROFILE"

// profiling is what such a build has beside main.go.
const profiling = `package main

import (
	"os"
	"runtime"
	"runtime/pprof"
)

func profiled(run func() int) int {
	name := os.Getenv("` + profileVariable + `")
	if name == "" {
		return run()
	}
	runtime.MemProfileRate = 4096
	cpu, err := os.Create(name + ".cpu.pprof")
	if err != nil {
		panic(err)
	}
	runtime.SetCPUProfileRate(250)
	if err := pprof.StartCPUProfile(cpu); err != nil {
		panic(err)
	}
	code := run()
	pprof.StopCPUProfile()
	cpu.Close()
	allocs, err := os.Create(name + ".allocs.pprof")
	if err != nil {
		panic(err)
	}
	if err := pprof.Lookup("allocs").WriteTo(allocs, 0); err != nil {
		panic(err)
	}
	allocs.Close()
	return code
}
`

const source = "../main.go"

// buildGodwit builds the program under test. If profiles are wanted its main
// is wrapped, by an overlay: what is released knows nothing of profiles.
func buildGodwit(dir string) (*tool, error) {
	binary := filepath.Join(dir, "godwit")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
		// Otherwise every process waits for a second before it ends.
		if err := os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0"); err != nil {
			return nil, err
		}
	}
	if *profiles != "" {
		overlay, err := writeOverlay(dir)
		if err != nil {
			return nil, err
		}
		args = append(args, "-overlay", overlay)
	}
	if out, err := exec.Command("go", append(args, "github.com/godwit-mail/godwit/cmd/godwit")...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building godwit: %w\n%s", err, out)
	}
	return godwit(binary), nil
}

func writeOverlay(dir string) (string, error) {
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	const call = "os.Exit(guarded(os.Args[1:]))"
	wrapped := strings.Replace(string(text), call, "os.Exit(profiled(func() int { return guarded(os.Args[1:]) }))", 1)
	if wrapped == string(text) {
		return "", fmt.Errorf("%s has no %s to wrap", source, call)
	}
	at, err := filepath.Abs(source)
	if err != nil {
		return "", err
	}
	replace := map[string]string{at: filepath.Join(dir, "main.go"), filepath.Join(filepath.Dir(at), "profiled.go"): filepath.Join(dir, "profiled.go")}
	for path, text := range map[string]string{"main.go": wrapped, "profiled.go": profiling} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}
