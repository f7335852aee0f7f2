// check_log reads what Jurat exports with the Go project's own implementation of signed notes and tiled logs
// (golang.org/x/mod/sumdb: what the Go command checks modules with), and with nothing of Jurat's.
//
//	check_log export DIR VKEY                          every tile, every entry, an inclusion proof of every 997th and of the last
//	check_log consistency DIR VKEY OLD-CHECKPOINT [ADD-CHECKPOINT]
//	                                                   the tree continues the older one, by its tiles, and by a proof that was handed out
//	check_log proof DIR VKEY FILE.tlog-proof           a proof that was handed out, of the entry that the export has at its index
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// directory serves the tiles of an export. C2SP tlog-tiles leaves out the height that sumdb has in its paths.
type directory string

func (d directory) Height() int                         { return height }
func (d directory) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range tiles {
		raw, err := os.ReadFile(filepath.Join(string(d), strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		data = append(data, raw)
	}
	return data, nil
}

func (d directory) entries(n int64, size int64) [][]byte {
	tile := tlog.Tile{H: height, L: 0, N: n, W: 1 << height}
	if left := size - n<<height; left < 1<<height {
		tile.W = int(left)
	}
	raw := must(os.ReadFile(filepath.Join(string(d), strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1))))
	var entries [][]byte
	for len(raw) > 0 {
		width := int(binary.BigEndian.Uint16(raw))
		entries, raw = append(entries, raw[2:2+width]), raw[2+width:]
	}
	if len(entries) != tile.W {
		log.Fatalf("bundle %d has %d entries, not %d", n, len(entries), tile.W)
	}
	return entries
}

func main() {
	log.SetFlags(0)
	dir, vkey := directory(os.Args[2]), os.Args[3]
	tree := open(must(os.ReadFile(filepath.Join(string(dir), "checkpoint"))), vkey)
	hashes := tlog.TileHashReader(tree, dir)
	switch os.Args[1] {
	case "export":
		if root := must(tlog.TreeHash(tree.N, hashes)); root != tree.Hash {
			log.Fatal("the tiles have another root")
		}
		for n := int64(0); n<<height < tree.N; n++ {
			entries := dir.entries(n, tree.N)
			places := make([]int64, len(entries))
			for i := range entries {
				places[i] = tlog.StoredHashIndex(0, n<<height+int64(i))
			}
			leaves := must(hashes.ReadHashes(places))
			for i, entry := range entries {
				index := n<<height + int64(i)
				if tlog.RecordHash(entry) != leaves[i] {
					log.Fatalf("entry %d is not the one in the tree", index)
				}
				if index%997 == 0 || index == tree.N-1 {
					check(tlog.CheckRecord(must(tlog.ProveRecord(tree.N, index, hashes)), tree.N, tree.Hash, index, leaves[i]))
				}
			}
		}
	case "consistency":
		old := open(must(os.ReadFile(os.Args[4])), vkey)
		check(tlog.CheckTree(must(tlog.ProveTree(tree.N, old.N, hashes)), tree.N, tree.Hash, old.N, old.Hash))
		if len(os.Args) > 5 {
			head, checkpoint, _ := strings.Cut(string(must(os.ReadFile(os.Args[5]))), "\n\n")
			lines := strings.Split(head, "\n")
			if lines[0] != fmt.Sprintf("old %d", old.N) {
				log.Fatalf("the proof begins with %q", lines[0])
			}
			to := open([]byte(checkpoint), vkey)
			check(tlog.CheckTree(parse(lines[1:]), to.N, to.Hash, old.N, old.Hash))
		}
	case "proof":
		head, checkpoint, _ := strings.Cut(string(must(os.ReadFile(os.Args[4]))), "\n\n")
		lines := strings.Split(head, "\n")
		if lines[0] != "c2sp.org/tlog-proof@v1" {
			log.Fatalf("the proof begins with %q", lines[0])
		}
		if strings.HasPrefix(lines[1], "extra ") {
			lines = lines[1:]
		}
		index := must(strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64))
		entry := dir.entries(index>>height, tree.N)[index&(1<<height-1)]
		to := open([]byte(checkpoint), vkey)
		check(tlog.CheckRecord(tlog.RecordProof(parse(lines[2:])), to.N, to.Hash, index, tlog.RecordHash(entry)))
	default:
		log.Fatalf("unknown: %s", os.Args[1])
	}
	fmt.Println(tree.N)
}

// open returns the tree that a note signs under vkey: origin, size, root, one a line.
func open(raw []byte, vkey string) tlog.Tree {
	signed := must(note.Open(raw, note.VerifierList(must(note.NewVerifier(vkey)))))
	lines := strings.SplitN(signed.Text, "\n", 4)
	if lines[0] != strings.Split(vkey, "+")[0] {
		log.Fatalf("origin %q", lines[0])
	}
	root := must(base64.StdEncoding.DecodeString(lines[2]))
	tree := tlog.Tree{N: must(strconv.ParseInt(lines[1], 10, 64))}
	if copy(tree.Hash[:], root) != len(tree.Hash) || !bytes.Equal(root, tree.Hash[:]) {
		log.Fatal("a root of another length")
	}
	return tree
}

func parse(lines []string) tlog.TreeProof {
	var proof tlog.TreeProof
	for _, line := range lines {
		proof = append(proof, must(tlog.ParseHash(line)))
	}
	return proof
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
