// SPDX-License-Identifier: Apache-2.0

// Renders a Helm chart where there is no Helm: with Go's own templates, the same library of functions, and those that
// Helm adds to it, as far as our chart uses them. It knows neither subcharts nor a cluster.
//
//	render-chart CHART RELEASE NAMESPACE < values.yaml
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type values = map[string]interface{}

func main() {
	if err := render(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(chart, release, namespace string) error {
	var about, all, given values
	if err := read(filepath.Join(chart, "Chart.yaml"), &about); err != nil {
		return err
	}
	if err := read(filepath.Join(chart, "values.yaml"), &all); err != nil {
		return err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, &given); err != nil {
		return err
	}
	// As Helm sees it: the fields of a chart's file with a capital.
	chartFields := values{}
	for key, value := range about {
		chartFields[strings.ToUpper(key[:1])+key[1:]] = value
	}
	top := values{
		"Values":  merge(all, given),
		"Chart":   chartFields,
		"Release": values{"Name": release, "Namespace": namespace, "Service": "Helm", "IsInstall": true, "IsUpgrade": false, "Revision": 1},
	}

	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	// A key that is missing is nothing, and not an error.
	root := template.New("chart").Option("missingkey=zero")
	root.Funcs(sprig.TxtFuncMap()).Funcs(template.FuncMap{
		"include": func(name string, data interface{}) (string, error) {
			var out strings.Builder
			err := root.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"required": func(message string, value interface{}) (interface{}, error) {
			if value == nil || value == "" {
				return nil, fmt.Errorf("%s", message)
			}
			return value, nil
		},
		"toYaml": func(value interface{}) (string, error) {
			text, err := yaml.Marshal(value)
			return strings.TrimSuffix(string(text), "\n"), err
		},
	})
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := root.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return err
		}
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var out strings.Builder
		if err := root.ExecuteTemplate(&out, name, top); err != nil {
			return err
		}
		if name == "NOTES.txt" {
			continue
		}
		fmt.Printf("---\n# %s\n%s\n", name, strings.ReplaceAll(out.String(), "<no value>", ""))
	}
	return nil
}

func read(file string, into *values) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(text, into)
}

// What is given wins; maps are merged, and lists replaced.
func merge(defaults, given values) values {
	merged := values{}
	for key, value := range defaults {
		merged[key] = value
	}
	for key, value := range given {
		below, isMap := value.(values)
		if under, isBoth := merged[key].(values); isMap && isBoth {
			merged[key] = merge(under, below)
		} else {
			merged[key] = value
		}
	}
	return merged
}
