package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// What a package under trial asks whether a check is out, and what tells it so.
const (
	switchName  = "checkIsOut"
	switchFile  = "mutants_switch.go"
	outEnv      = "WICKETGATE_CHECK_OUT"
	reachedEnv  = "WICKETGATE_CHECKS_REACHED"
	switchLines = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var (
	checkOut, checkFault = strconv.Atoi(os.Getenv("` + outEnv + `"))
	checksReached        = os.Getenv("` + reachedEnv + `")
	checkSeen            [%d]atomic.Bool
)

func ` + switchName + `(n int) bool {
	if checksReached != "" && !checkSeen[n].Swap(true) {
		f, err := os.OpenFile(checksReached, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		_, _ = f.WriteString(strconv.Itoa(n) + "\n")
		_ = f.Close()
	}
	return n == checkOut && checkFault == nil
}
`
)

// writeSwitches writes to folder a copy of every file in which each mutant can
// be switched on by its place in the list, and returns the overlay that puts the
// copies in the places of the files. So all mutants share one program.
func writeSwitches(root, folder string, mutants []mutant) (string, error) {
	byFile := make(map[string][]int)
	for id, m := range mutants {
		byFile[m.file] = append(byFile[m.file], id)
	}
	replace := make(map[string]string)
	put := func(name string, text []byte) error {
		to := filepath.Join(folder, fmt.Sprintf("%d.go", len(replace)))
		replace[filepath.Join(root, filepath.FromSlash(name))] = to
		return os.WriteFile(to, text, 0o600)
	}
	for name, ids := range byFile {
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return "", err
		}
		if err := put(name, switchable(source, mutants, ids)); err != nil {
			return "", err
		}
		common := path.Join(path.Dir(name), switchFile)
		if _, done := replace[filepath.Join(root, filepath.FromSlash(common))]; done {
			continue
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), name, source, parser.PackageClauseOnly)
		if err != nil {
			return "", err
		}
		if err := put(common, fmt.Appendf(nil, switchLines, syntax.Name.Name, len(mutants))); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// switchable is the file with a switch at each of the mutants. They nest, and
// of two with one text the first is the outer one.
func switchable(source []byte, mutants []mutant, ids []int) []byte {
	type insertion struct {
		at   int
		text string
	}
	outerFirst := slices.Clone(ids)
	slices.SortStableFunc(outerFirst, func(a, b int) int {
		x, y := mutants[a], mutants[b]
		return (y.to - y.from) - (x.to - x.from)
	})
	var opening, closing []insertion
	for _, id := range outerFirst {
		before, after := mutants[id].form.around(id)
		opening = append(opening, insertion{mutants[id].from, before})
		closing = append(closing, insertion{mutants[id].to, after})
	}
	// What ends at a place is closed, the inner first, before anything opens there.
	slices.Reverse(closing)
	all := append(closing, opening...)
	slices.SortStableFunc(all, func(a, b insertion) int { return a.at - b.at })
	var out bytes.Buffer
	done := 0
	for _, i := range all {
		out.Write(source[done:i.at])
		out.WriteString(i.text)
		done = i.at
	}
	out.Write(source[done:])
	return out.Bytes()
}
