package store

import (
	"testing"

	"github.com/yunshu/yunshu/test/postgres"
)

func TestMain(m *testing.M) { postgres.Main(m) }
