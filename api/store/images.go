package store

import (
	"context"

	"gorm.io/gorm"

	"github.com/yunshu/yunshu/models"
)

// ImageFilter narrows a list of images.
type ImageFilter struct {
	Region, Name, Purpose string // Region: those that have a template there, or are booted there
	IDPage
}

// Images lists images in the order in which they were made.
func (s *Store) Images(ctx context.Context, f ImageFilter) ([]models.Image, error) {
	w := new(where).and("id > ?", f.After).given("name = ?", f.Name).given("purpose = ?", f.Purpose)
	if f.Region != "" {
		w.and("jsonb_exists(templates, ?) OR jsonb_exists(boot, ?)", f.Region, f.Region)
	}
	return rows[models.Image](s.DB.WithContext(ctx), "SELECT * FROM images WHERE "+w.String()+" ORDER BY id LIMIT ?", append(w.args, f.Limit)...)
}

// Image reads one image.
func (s *Store) Image(ctx context.Context, id models.ID) (models.Image, error) {
	return ImageByID(s.DB.WithContext(ctx), id)
}

// ImageByID reads one image within a transaction.
func ImageByID(tx *gorm.DB, id models.ID) (models.Image, error) {
	i, err := row[models.Image](tx, "SELECT * FROM images WHERE id = ?", id)
	return found(i, err, "image", id.String())
}

// LockImage reads an image that is about to change.
func LockImage(tx *gorm.DB, id models.ID) (models.Image, error) {
	if err := locked(tx, "images", "id", id); err != nil {
		return found(models.Image{}, err, "image", id.String())
	}
	return ImageByID(tx, id)
}

// CreateImage adds an image.
func CreateImage(tx *gorm.DB, i *models.Image) error {
	if i.Boot == nil {
		i.Boot = map[string]models.Netboot{}
	}
	return refused(tx.Create(i).Error, map[string]*models.Fault{"images_name": taken("image", i.Name, "")})
}

// UpdateImage changes an image. Machines that were made from it stay as they are.
func UpdateImage(tx *gorm.DB, i models.Image) error {
	return tx.Model(&models.Image{}).Where("id = ?", i.ID).Select("os", "description", "min_storage_gib", "templates", "purpose", "boot", "version", "updated_at").
		Updates(models.Image{OS: i.OS, Description: i.Description, MinStorageGiB: i.MinStorageGiB, Templates: i.Templates, Purpose: i.Purpose, Boot: i.Boot,
			Stamps: models.Stamps{Version: i.Version + 1, UpdatedAt: tx.NowFunc()}}).Error
}

// DeleteImage removes an image that no machine was made from.
func DeleteImage(tx *gorm.DB, i models.Image) error {
	if err := unused(tx, "image", i.Name, i.ID, [2]string{"vms", "SELECT count(*) FROM vms WHERE image_id = ?"}); err != nil {
		return err
	}
	return referenced(tx.Exec("DELETE FROM images WHERE id = ?", i.ID).Error, "image", i.Name)
}

// UnknownRegions returns those names that are no region's.
func UnknownRegions(tx *gorm.DB, names []string) ([]string, error) {
	out := []string{}
	return out, tx.Raw("SELECT n FROM unnest(?::text[]) n WHERE NOT EXISTS (SELECT FROM regions r WHERE r.name = n) ORDER BY n", models.Texts(names)).Scan(&out).Error
}
