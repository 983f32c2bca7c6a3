"""The one page: a list of products, page by page."""

from django.core.paginator import Paginator
from django.db.models import Count
from django.shortcuts import render
from django.urls import path

from shop.models import Category, Product


def products(request):
    """Twenty products with their categories, and how many there are in each category."""
    pages = Paginator(Product.objects.select_related("category").order_by("name"), 20)
    categories = Category.objects.annotate(count=Count("products")).order_by("name")
    page = pages.get_page(request.GET.get("page"))
    return render(request, "products.html", {"page": page, "categories": categories})


urlpatterns = [path("", products)]
