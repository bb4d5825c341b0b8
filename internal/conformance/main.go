// Command conformance runs the tests that are named by a row of the conformance
// list, rows.txt, and writes down how each row fares: as a table on the
// terminal, and as docs/conformance.md. It fails when a test of a row does.
//
// It judges no row itself. A test stands for a row when a part of its name
// begins with the row's ID, as TestConformance/DPOP-25/twice does.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

//go:embed rows.txt
var rowsText string

func main() {
	root := flag.String("C", ".", "the module's root")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	families, err := parseRows(rowsText)
	if err != nil {
		return fmt.Errorf("rows.txt: %w", err)
	}
	o, err := runTests(root)
	if err != nil {
		return err
	}
	if strange := o.unlisted(families); len(strange) > 0 {
		return fmt.Errorf("tests are named after rows that rows.txt does not list: %s", strings.Join(strange, ", "))
	}
	standings := make([]standing, 0, 400)
	for _, f := range families {
		for _, r := range f.rows {
			s := o.judge(r)
			if s.files, err = mentions(root, s.packages, r.id); err != nil {
				return err
			}
			standings = append(standings, s)
		}
	}
	fmt.Print(table(standings))
	if err := writeDocument(root, document(families, standings)); err != nil {
		return err
	}
	fmt.Println(summary(standings))
	for _, s := range standings {
		if s.state == fail {
			return errors.New("a test of a row fails")
		}
	}
	return nil
}
